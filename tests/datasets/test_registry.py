"""The registry names every dataset, and costs nothing to import."""

import re
import subprocess
import sys

import pytest

from comvae.datasets.loading import load
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS, IdxFiles
from comvae.study.settings import DataOptions
from tests.datasets.served import (
    CLASSES,
    TEST,
    TRAIN,
    fetch_tiny,
    tiny_mirror,
    tiny_source,
)

FILES = {n: s for n, s in REGISTRY.items() if isinstance(s.origin, IdxFiles)}


def test_every_file_has_a_name_and_a_checksum_of_its_own():
    files = [(s.origin.folder, f) for s in FILES.values() for f in _files(s)]
    checksums = [file.sha256 or file.gzip_sha256 for _, file in files]
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in checksums)
    names = {(folder, file.name) for folder, file in files}
    assert len(set(checksums)) == len(names) == len(files) == 4 * len(FILES) > 0


def _files(source):
    return [source.origin.files[part] for part in PARTS]


@pytest.mark.parametrize("name", FILES)
def test_publishers_are_asked_over_https_alone(name):
    origin = FILES[name].origin
    urls = [*origin.publishers, *(origin.archive.urls if origin.archive else ())]
    assert urls and all(url.startswith("https://") for url in urls)


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
