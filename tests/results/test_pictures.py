"""The files of a run's pictures: arrays, and grids of them."""

import numpy as np
from PIL import Image

from comvae.results.pictures import GRID, write_pictures

NAMES = {"seed-4.npz", "seed-4-reconstructions.png", "seed-4-samples.png"}


def arrays() -> dict[str, np.ndarray]:
    """18 images of 3x4 pixels, and 20 samples."""
    generator = np.random.default_rng(0)
    kinds = {"original": 18, "reconstruction": 18, "sample": 20}
    pixels = {
        name: generator.integers(0, 256, (count, 3, 4), np.uint8)
        for name, count in kinds.items()
    }
    return pixels | {"image": np.arange(18, dtype=np.int32)}


def test_the_files_hold_the_arrays_and_are_the_same_again(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_pictures(tmp_path / folder, {4: arrays()})
    assert {path.name for path in (tmp_path / "one").iterdir()} == NAMES
    for name in NAMES:
        first, second = (tmp_path / folder / name for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    with np.load(tmp_path / "one" / "seed-4.npz", allow_pickle=False) as archive:
        for name, array in arrays().items():
            assert np.array_equal(archive[name], array)


def test_the_grid_is_the_test_images_above_their_reconstructions(tmp_path):
    write_pictures(tmp_path, {4: arrays()})
    enlarge = 56 // 4
    height, width = 3 * enlarge + 2, 4 * enlarge + 2
    grid = np.array(Image.open(tmp_path / "seed-4-reconstructions.png").convert("L"))
    assert grid.shape == (2 * height + 2, GRID * width + 2)
    shown = [place for place in range(18) if place not in (4, 13)]  # 16 of the 18
    for row, name in enumerate(("original", "reconstruction")):
        for column, place in enumerate(shown):
            tile = grid[2 + row * height :, 2 + column * width :]
            tile = tile[: height - 2 : enlarge, : width - 2 : enlarge]
            assert np.array_equal(tile, arrays()[name][place]), (name, place)
