"""The registry names every dataset, and costs nothing to import."""

import re
import subprocess
import sys

import pytest

from comvae.datasets.loading import load
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import Archive, IdxFiles
from comvae.study.settings import DataOptions
from tests.datasets.served import (
    CLASSES,
    TEST,
    TRAIN,
    fetch_tiny,
    tiny_mirror,
    tiny_source,
)

EXPECTED = {  # training images, test images, classes, height, pixel_max
    "digits": (1437, 360, 10, 8, 16),
    "mnist": (60_000, 10_000, 10, 28, 255),
    "fashion-mnist": (60_000, 10_000, 10, 28, 255),
    "emnist-mnist": (60_000, 10_000, 10, 28, 255),
    "emnist-letters": (124_800, 20_800, 26, 28, 255),
    "emnist-balanced": (112_800, 18_800, 47, 28, 255),
    "emnist-digits": (240_000, 40_000, 10, 28, 255),
    "emnist-bymerge": (697_932, 116_323, 47, 28, 255),
    "emnist-byclass": (697_932, 116_323, 62, 28, 255),
}


def test_every_dataset_has_its_published_sizes():
    found = {
        name: (s.train, s.test, s.classes, s.height, s.pixel_max)
        for name, s in REGISTRY.items()
    }
    assert found == EXPECTED


def test_every_file_has_a_name_and_a_checksum_of_its_own():
    checksums, files = [], []
    for source in REGISTRY.values():
        if isinstance(source.origin, IdxFiles):
            for file in source.origin.files.values():
                checksums.append(file.sha256 or file.gzip_sha256)
                files.append(f"{source.origin.folder}/{file.name}")
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in checksums)
    assert len(set(checksums)) == len(set(files)) == len(checksums) == 8 * 4


def test_only_emnist_is_transposed_and_only_letters_count_from_one():
    transposed = {name for name, source in REGISTRY.items() if source.transposed}
    assert transposed == {name for name in REGISTRY if name.startswith("emnist-")}
    assert {n: s.first_label for n, s in REGISTRY.items() if s.first_label} == {
        "emnist-letters": 1
    }


def test_publishers_are_asked_over_https_alone():
    files = tiny_source().origin.files
    with pytest.raises(ValueError, match="https"):
        IdxFiles("tiny", files, publishers=("http://example.org",))
    with pytest.raises(ValueError, match="https"):
        Archive("a.zip", ("http://example.org/a.zip",), "gzip", 1, "0" * 64)


def test_an_entry_needs_a_file_for_every_part():
    files = dict(tiny_source().origin.files)
    del files["test-labels"]
    with pytest.raises(ValueError, match="test-labels"):
        IdxFiles("tiny", files)


def test_importing_the_registry_imports_no_heavy_library():
    heavy = "{'torch', 'sklearn', 'pooch', 'requests', 'numpy'}"
    code = (
        "import sys, comvae.datasets.registry\n"
        f"loaded = sorted({heavy} & set(sys.modules))\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dataset_is_added_with_one_entry(tmp_path, monkeypatch):
    monkeypatch.delenv("COMVAE_MIRROR", raising=False)
    entry = tiny_source()
    fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"), entry)
    dataset = load(tmp_path / "out", DataOptions())
    assert dataset.name == "tiny"
    assert len(dataset.train) == TRAIN and len(dataset.test) == TEST
    assert entry.classes == CLASSES
