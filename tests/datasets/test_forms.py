"""A mirror holds a dataset in the forms that people have it in, proven by content."""

import gzip
import io
import json

import numpy as np
import pytest

from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS
from comvae.errors import DatasetError
from tests.datasets.served import (
    NAMES,
    changed,
    fetch_tiny,
    gzipped,
    idx_bytes,
    leftovers,
    sha256,
    tiny_arrays,
    tiny_files,
    tiny_source,
    zip_bytes,
)

ARRAYS = tiny_arrays()
IDX = {part: idx_bytes(array) for part, array in ARRAYS.items()}
PLAIN = {part: name.removesuffix(".gz") for part, name in NAMES.items()}


def csv(split: str, header: str | None) -> bytes:
    labels = ARRAYS[f"{split}-labels"]
    images = ARRAYS[f"{split}-images"].reshape(len(labels), -1)
    rows = [header] if header else []
    rows += [",".join(map(str, [y, *x])) for y, x in zip(labels, images, strict=True)]
    return "\n".join(rows).encode() + b"\n"


def npz(*, compressed: bool) -> bytes:
    keys = {"images": "x", "labels": "y"}
    arrays = {}
    for part, array in ARRAYS.items():
        split, content = part.split("-")
        arrays[f"{keys[content]}_{split}"] = array
    target = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(target, **arrays)
    return target.getvalue()


def files(prefix: str, names: dict[str, str], contents: dict[str, bytes]) -> dict:
    return {f"{prefix}{names[part]}": contents[part] for part in PARTS}


HEADER = "label," + ",".join(f"{i}x{j}" for i in range(1, 6) for j in range(1, 4))
PIXELS = "label," + ",".join(f"pixel{i}" for i in range(15))
DOTTED = {part: name.replace("-idx", ".idx") for part, name in PLAIN.items()}
TWICE = {part: gzipped(gzipped(content)) for part, content in IDX.items()}
CSV = {"tiny_train.csv": csv("train", HEADER), "tiny_test.csv": csv("test", HEADER)}
FORMS = {
    "torchvision": files("Tiny/raw/", PLAIN, IDX),
    "without gzip": files("tiny/", PLAIN, IDX),
    "dots": files("archive/", DOTTED, IDX),
    "a folder for each file": {f"{n}/{n}": IDX[part] for part, n in PLAIN.items()},
    "the folder itself": files("", NAMES, tiny_files()),
    "gzipped twice": files("tiny/", NAMES, TWICE),
    "a zip": {"archive.zip": zip_bytes(files("", DOTTED, IDX))},
    "a zip of folders": {"tiny/a.zip": zip_bytes(files("raw/", NAMES, tiny_files()))},
    "a zip of CSV": {"archive.zip": zip_bytes(CSV)},
    "npz": {"tiny.npz": npz(compressed=False)},
    "npz, compressed": {"keras/tiny.npz": npz(compressed=True)},
    "CSV": CSV,
    "CSV, gzipped": {f"{name}.gz": gzip.compress(text) for name, text in CSV.items()},
    "CSV of pixels": {f"{s}.csv": csv(s, PIXELS) for s in ("train", "test")},
    "CSV without header": {f"{s}.csv": csv(s, None) for s in ("train", "test")},
}


def mirror_of(base, contents):
    for name, content in contents.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    return base


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_and_proven_by_its_content(tmp_path, form):
    mirror = mirror_of(tmp_path / "mirror", FORMS[form])
    path = fetch_tiny(tmp_path / "out", mirror)
    for part in PARTS:
        array = np.load(tmp_path / "out" / f"{part}.npy")
        np.testing.assert_array_equal(array, ARRAYS[part])
        assert array.dtype == np.uint8
    for part, record in json.loads(path.read_text())["files"].items():
        assert record["verified"] == "sha256"
        assert record["sha256"] == sha256(IDX[part])


def test_the_right_dataset_is_told_from_others_of_the_same_names(tmp_path):
    zeros = {part: idx_bytes(np.zeros_like(array)) for part, array in ARRAYS.items()}
    others = files("Another/raw/", PLAIN, zeros) | files("Zzz/raw/", PLAIN, IDX)
    mirror = mirror_of(tmp_path / "mirror", others)
    sources = json.loads(fetch_tiny(tmp_path / "out", mirror).read_text())["source"]
    assert all(source.startswith(f"{mirror}/Zzz") for source in sources.values())


def test_a_package_of_the_system_is_asked(tmp_path):
    folder = mirror_of(tmp_path / "dataset-tiny", files("", NAMES, tiny_files()))
    source = tiny_source()
    origin = changed(source.origin, installed=[str(folder)])
    path = fetch_tiny(tmp_path / "out", None, changed(source, origin=origin))
    sources = json.loads(path.read_text())["source"]
    assert sources["test-labels"] == str(folder / NAMES["test-labels"])


def test_debian_has_fashion_mnist():
    installed = REGISTRY["fashion-mnist"].origin.installed
    assert installed == ["/usr/share/dataset-fashion-mnist"]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9912422\n"
WRONG = {
    "a Git LFS pointer": (NAMES["train-images"], POINTER),
    "an HTML page": (NAMES["train-images"], b"<!DOCTYPE html>"),
    "found 6 x 14, expected 6 x 5 x 3": (
        "train.csv",
        b"\n".join([b",".join([b"1"] * 15)] * 6),
    ),
    "found 5 x 15, expected 6 x 5 x 3": (
        "train.csv",
        b"\n".join([b",".join([b"1"] * 16)] * 5),
    ),
    "expected whole numbers 0 to 255": (
        "train.csv",
        b"\n".join([b",".join([b"1"] + [b"256"] * 15)] * 6),
    ),
    "found other bytes than published": (
        "train.csv",
        b"\n".join([b",".join([b"1"] * 16)] * 6),
    ),
    "a damaged file": ("train.csv", csv("train", None)[:-20] + b",,,,\nx,y\n"),
    "expected train-images in IDX, npz or CSV": ("a.npz", npz(compressed=True)[:-90]),
    "expected x_train or x": ("a.npz", zip_bytes({"a.txt": b""})),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_lies_there_and_what_is_wanted_is_said(tmp_path, message):
    name, content = WRONG[message]
    mirror = mirror_of(tmp_path / "mirror", {f"tiny/{name}": content})
    with pytest.raises(DatasetError) as caught:
        fetch_tiny(tmp_path / "out", mirror)
    lines = str(caught.value).splitlines()
    [said] = [line for line in lines if f"{mirror}/tiny/{name}:" in line]
    assert message in said and "expected" in said
    assert leftovers(tmp_path / "out") == []
