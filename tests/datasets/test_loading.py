"""Loading: whole pixels in memory, floats in [0, 1], averaged over squares and made
binary on demand, no damaged array."""

import json

import numpy as np
import pytest
import torch

from comvae.datasets.fetching import fetch
from comvae.datasets.loading import binarize, load, pool
from comvae.datasets.options import DataOptions
from comvae.errors import DatasetError, SettingsError
from tests.datasets.served import (
    HEIGHT,
    TEST,
    TRAIN,
    WIDTH,
    fetch_tiny,
    tiny_arrays,
    tiny_mirror,
)


@pytest.fixture
def folder(tmp_path):
    return fetch_tiny(tmp_path / "tiny", tiny_mirror(tmp_path / "mirror")).parent


def test_images_are_rows_of_bytes_in_their_own_order(folder):
    dataset = load(folder, DataOptions())
    arrays = tiny_arrays()
    for split, count in (("train", TRAIN), ("test", TEST)):
        tensor = getattr(dataset, split)
        assert tensor.dtype == torch.uint8 and tensor.shape == (count, HEIGHT * WIDTH)
        for tensor_row, image in zip(tensor, arrays[f"{split}-images"], strict=True):
            assert tensor_row.tolist() == [p for row in image.tolist() for p in row]
    assert (dataset.height, dataset.width, dataset.pixel_max) == (HEIGHT, WIDTH, 255)


def test_to_float_scales_to_the_unit_interval(folder):
    dataset = load(folder, DataOptions())
    pixels = dataset.to_float(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels, torch.tensor([[0.0, 0.2, 1.0]]))


def test_a_binarized_dataset_scales_by_one(folder):
    for kind in ("threshold", "stochastic"):
        dataset = load(folder, DataOptions(binarize=kind))
        assert dataset.pixel_max == 1 and dataset.train.dtype == torch.uint8
        assert set(dataset.to_float(dataset.train).unique().tolist()) == {0.0, 1.0}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return fetch("digits", tmp_path_factory.mktemp("digits")).parent


@pytest.mark.parametrize("side", [1, 2, 4])
def test_pooled_pixels_are_the_means_of_squares(digits, side):
    whole, pooled = load(digits), load(digits, DataOptions(pool=side))
    sides = pooled.height, pooled.width
    assert sides == (8 // side, 8 // side) and pooled.pixel_max == 16 * side**2
    for split in ("train", "test"):
        grey = whole.to_float(getattr(whole, split)).double().unflatten(1, (8, 8))
        squares = grey.unfold(1, side, side).unfold(2, side, side)
        found = pooled.to_float(getattr(pooled, split)).unflatten(1, sides)
        torch.testing.assert_close(
            found.double(), squares.mean((3, 4)), rtol=0, atol=6e-8
        )


def test_the_sums_of_the_largest_squares_are_exact():
    images = np.full((3, 22, 11), 255, np.uint8)
    assert pool(images, 11).tolist() == [[[255 * 121], [255 * 121]]] * 3
    with pytest.raises(ValueError, match="less than or equal to 11"):
        DataOptions(pool=12)


def test_a_square_that_does_not_divide_the_sides_is_refused(folder):
    with pytest.raises(SettingsError, match=r"pool: found 5.*`tiny`, 5 x 3 pixels"):
        load(folder, DataOptions(pool=5))


@pytest.mark.parametrize("kind", ["threshold", "stochastic"])
def test_pooled_pixels_are_made_binary_after_they_were_pooled(digits, kind):
    grey = load(digits, DataOptions(pool=4))
    binary = load(digits, DataOptions(pool=4, binarize=kind))
    options = DataOptions(binarize=kind)
    for split in ("train", "test"):
        images = getattr(grey, split).numpy()
        expected = binarize(images, grey.pixel_max, options, split)
        assert getattr(binary, split).tolist() == expected.tolist()


def test_dynamic_keeps_the_grey_images_beside_the_fixed_draw(digits):
    read = {
        kind: load(digits, DataOptions(pool=2, binarize=kind, data_seed=3))
        for kind in ("none", "stochastic", "dynamic")
    }
    for split in ("train", "test"):
        fixed, grey = (getattr(read[kind], split) for kind in ("stochastic", "none"))
        assert torch.equal(getattr(read["dynamic"], split), fixed)
        assert torch.equal(getattr(read["dynamic"].grey, split), grey)
    assert read["dynamic"].pixel_max == 1 and read["dynamic"].grey.pixel_max == 64
    assert read["stochastic"].grey is None and read["none"].grey is None


DTYPES = [(16, np.uint8), (255, np.uint8), (1020, np.int16)]


@pytest.mark.parametrize("pixel_max,dtype", DTYPES)
def test_threshold_is_one_above_a_half(pixel_max, dtype):
    pixels = np.arange(pixel_max + 1, dtype=dtype)
    found = binarize(pixels, pixel_max, DataOptions(binarize="threshold"), "train")
    expected = pixels.astype(float) / pixel_max > 0.5
    assert found.dtype == np.uint8 and found.tolist() == expected.astype(int).tolist()


@pytest.mark.parametrize("pixel_max,dtype", DTYPES)
def test_a_stochastic_pixel_is_one_with_the_probability_of_its_intensity(
    pixel_max, dtype
):
    draws = 20_000
    pixels = np.repeat(np.arange(pixel_max + 1, dtype=dtype)[:, None], draws, axis=1)
    options = DataOptions(binarize="stochastic", data_seed=1)
    mean = binarize(pixels, pixel_max, options, "train").mean(axis=1)
    p = np.arange(pixel_max + 1) / pixel_max
    assert mean[0] == 0 and mean[-1] == 1
    sigma = np.sqrt(p * (1 - p) / draws)[1:-1]
    assert np.abs((mean - p)[1:-1] / sigma).max() < 5


def test_the_stochastic_draw_is_fixed_by_data_seed_and_split(folder):
    def pixels(split, seed):
        options = DataOptions(binarize="stochastic", data_seed=seed)
        return binarize(np.full((50, 50), 128, np.uint8), 255, options, split)

    np.testing.assert_array_equal(pixels("train", 4), pixels("train", 4))
    assert (pixels("train", 4) != pixels("train", 5)).any()
    assert (pixels("train", 4) != pixels("test", 4)).any()
    options = DataOptions(binarize="stochastic", data_seed=4)
    assert torch.equal(load(folder, options).train, load(folder, options).train)


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset\.json: cannot be read.*fetch"):
        load(tmp_path, DataOptions())


def test_a_damaged_record_is_refused(folder):
    path = folder / "dataset.json"
    good = json.loads(path.read_text())
    del good["arrays"]["test-labels"]
    bad = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"name": "tiny"}',
        json.dumps(good).encode(),
    ]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"dataset\.json: .*comvae fetch"):
            load(folder, DataOptions())


def _flip_a_pixel(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b""), "another size"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "another size"),
        (lambda path: path.write_bytes(path.read_bytes() + b"1"), "another size"),
        (
            lambda path: np.save(path, np.load(path).astype(float)),
            "another size or type",
        ),
        (lambda path: np.save(path, np.load(path)[:-1]), "another size or type"),
        (lambda path: np.save(path, np.array([{}], object)), "another size or type"),
        (lambda path: np.save(path, np.load(path).view(np.int8)), "size or type"),
        (lambda path: np.save(path, np.load(path).reshape(5, 4, 3)), "size or type"),
        (_flip_a_pixel, "other bytes"),
    ],
)
def test_a_damaged_array_is_refused(folder, damage, message):
    damage(folder / "test-images.npy")
    with pytest.raises(DatasetError, match=f"test-images.npy.*{message}"):
        load(folder, DataOptions())
