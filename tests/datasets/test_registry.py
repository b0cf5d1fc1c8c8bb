"""The registry names every dataset, and costs nothing to import."""

import re

import pytest

from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS, IdxFiles

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
