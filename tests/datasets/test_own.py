"""A dataset of the user's own: two files, an entry of a study, and no code."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from comvae.cli import app
from comvae.datasets.loading import load
from comvae.datasets.own import own_source
from comvae.datasets.source import OwnFiles
from comvae.errors import DatasetError, SettingsError
from comvae.study.loading import load_study
from comvae.study.plan import plan_blocks, relative_size
from tests.datasets.served import gzipped, idx_bytes, leftovers, tiny_arrays
from tests.support import ROOT

ARRAYS = tiny_arrays()
IMAGES = {split: ARRAYS[f"{split}-images"] for split in ("train", "test")}
LABELS = {split: ARRAYS[f"{split}-labels"] for split in ("train", "test")}
MODELS = ROOT / "config" / "models.yaml"


def npz_files(folder, images=IMAGES, labels=LABELS) -> OwnFiles:
    for split, array in images.items():
        np.savez(
            folder / f"{split}.npz", x=array, **({"y": labels[split]} if labels else {})
        )
    return OwnFiles(train=str(folder / "train.npz"), test=str(folder / "test.npz"))


def fetched(folder, files: OwnFiles):
    """The record and the arrays that `comvae fetch` writes."""
    out = folder / "out"
    options = ["--train", files.train, "--test", files.test, "--output", str(out)]
    done = CliRunner().invoke(app, ["fetch", "mine", *options])
    assert done.exit_code == 0, done.output
    arrays = {part: np.load(out / f"{part}.npy") for part in ARRAYS}
    return json.loads((out / "dataset.json").read_text()), arrays


def csv_files(folder, header: str | None) -> OwnFiles:
    for split, images in IMAGES.items():
        rows = np.column_stack([LABELS[split], images.reshape(len(images), -1)])
        text = "\n".join([header, ""]) if header else ""
        text += "\n".join(",".join(map(str, row)) for row in rows)
        (folder / f"{split}.csv").write_text(text + "\n")
    return OwnFiles(train=str(folder / "train.csv"), test=str(folder / "test.csv"))


def one_npz(folder) -> OwnFiles:
    arrays = {f"x_{split}": array for split, array in IMAGES.items()}
    arrays |= {f"y_{split}": array for split, array in LABELS.items()}
    np.savez(folder / "both.npz", **arrays)
    return OwnFiles(train=str(folder / "both.npz"), test=str(folder / "both.npz"))


SIDES = "label," + ",".join(f"{i}x{j}" for i in range(1, 6) for j in range(1, 4))


@pytest.mark.parametrize(
    "write", [npz_files, one_npz, lambda folder: csv_files(folder, SIDES)]
)
def test_images_that_are_not_square_arrive_as_they_are(tmp_path, write):
    files = write(tmp_path)
    record, arrays = fetched(tmp_path, files)
    for part, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[part], array)
    assert (record["height"], record["width"], record["classes"]) == (5, 3, 3)
    assert record["pixel_max"] == 255 and record["changes"] == []
    assert record["checksum"] == own_source("mine", files).checksum
    dataset = load(tmp_path / "out")
    assert dataset.train.shape == (6, 15) and dataset.test.shape == (4, 15)


def test_idx_images_need_no_labels(tmp_path):
    for split, array in IMAGES.items():
        (tmp_path / split).write_bytes(gzipped(idx_bytes(array)))
    files = OwnFiles(train=str(tmp_path / "train"), test=str(tmp_path / "test"))
    record, arrays = fetched(tmp_path, files)
    np.testing.assert_array_equal(arrays["test-images"], IMAGES["test"])
    assert arrays["test-labels"].tolist() == [0] * 4 and record["classes"] == 1
    assert record["changes"] == [
        f"{split}: no labels, stored as 0" for split in ("train", "test")
    ]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_pixels_from_0_to_1_are_stored_as_bytes(tmp_path, kind):
    images = {split: array.astype(kind) / 255 for split, array in IMAGES.items()}
    record, arrays = fetched(tmp_path, npz_files(tmp_path, images))
    np.testing.assert_array_equal(arrays["train-images"], IMAGES["train"])
    assert record["pixel_max"] == 255
    assert record["changes"] == ["pixels 0..1 stored as 0..255, rounded"]


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_binary_pixels_stay_binary(tmp_path, kind):
    images = {split: (array > 127).astype(kind) for split, array in IMAGES.items()}
    record, arrays = fetched(tmp_path, npz_files(tmp_path, images))
    assert record["pixel_max"] == 1
    np.testing.assert_array_equal(arrays["test-images"], IMAGES["test"] > 127)


def test_flat_images_are_square(tmp_path):
    images = {split: array.reshape(-1, 15)[:, :9] for split, array in IMAGES.items()}
    _, arrays = fetched(tmp_path, npz_files(tmp_path, images))
    np.testing.assert_array_equal(
        arrays["test-images"], images["test"].reshape(-1, 3, 3)
    )


def with_value(value):
    images = {split: array.astype(np.float64) for split, array in IMAGES.items()}
    images["test"][0, 0, 0] = value
    return images


WRONG = {
    "from -1 to 2": (with_value(-1), LABELS),
    "to 256, expected whole numbers": (with_value(256), LABELS),
    "from nan": (with_value(np.nan), LABELS),
    "expected whole numbers 0 to 255": (with_value(0.5), LABELS),
    "the same sides": (IMAGES | {"test": IMAGES["test"][:, :4]}, LABELS),
    "a square number of pixels": (
        {split: array.reshape(-1, 15) for split, array in IMAGES.items()},
        LABELS,
    ),
    "expected one for each of 4 images": (IMAGES, LABELS | {"test": np.zeros(3)}),
    "of type <U3": (IMAGES, LABELS | {"test": np.array(["cat"] * 4)}),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_said_with_the_file(tmp_path, message):
    files = npz_files(tmp_path, *WRONG[message])
    with pytest.raises(DatasetError, match="expected") as caught:
        own_source("mine", files)
    assert message in str(caught.value)
    assert str(tmp_path / "test.npz") in str(caught.value) or "square" in message


def test_a_missing_file_is_named(tmp_path):
    files = OwnFiles(train=str(tmp_path / "no.npz"), test=str(tmp_path / "no.npz"))
    with pytest.raises(DatasetError, match=r"mine: .*no\.npz: found no file"):
        own_source("mine", files)


def study(folder, files: OwnFiles, name: str = "mine", names=()):
    datasets = {"names": list(names) or [name], "files": {name: files.model_dump()}}
    path = folder / "study.yaml"
    values = {"study": "t", "datasets": datasets, "models": ["vanilla"], "seeds": 1}
    path.write_text(yaml.safe_dump(values))
    return load_study(source=path, models=MODELS)


def test_a_study_names_it_and_other_content_is_another_hash(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    one = study(tmp_path, npz_files(first))
    [block] = plan_blocks(one, tmp_path / "results")
    config = one.run_config("mine", "vanilla", [0])
    assert config.dataset_sha256 == own_source("mine", npz_files(first)).checksum
    assert relative_size("mine", block.name) == 6 * 15 / (60000 * 784)
    other = {**IMAGES, "test": IMAGES["test"] ^ 1}
    [changed] = plan_blocks(study(tmp_path, npz_files(second, other)), tmp_path)
    assert changed.config_hash != block.config_hash


def test_the_place_of_the_files_is_no_part_of_the_hash(tmp_path):
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
    checksums = {own_source("mine", csv_files(f, SIDES)).checksum for f in folders}
    assert len(checksums) == 1


@pytest.mark.parametrize(
    "name, message",
    [("mnist", "Taken by the registry: mnist"), ("My Data", "datasets.files")],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, message):
    with pytest.raises(SettingsError, match=message):
        study(tmp_path, npz_files(tmp_path), name)


@pytest.mark.parametrize("options", [["--train", "a"], ["--test", "a"]])
def test_both_files_are_needed(tmp_path, options):
    command = ["fetch", "mine", "--output", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code and leftovers(tmp_path / "out") == []


def test_the_workflow_reads_its_files_and_fetches_the_others(tmp_path):
    files = npz_files(tmp_path)
    study(tmp_path, files, names=["mine", "digits"])
    command = [sys.executable, "-m", "snakemake", "-n", "--directory", tmp_path]
    done = subprocess.run(
        [*command, "--configfile", tmp_path / "study.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    assert counts["dataset"] == "2"
    assert f"input: {files.train}, {files.test}\n" in done.stdout + done.stderr
