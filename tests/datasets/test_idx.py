"""IDX files are read as their format says, and refused where they are not whole."""

import gzip

import numpy as np
import pytest

from comvae.datasets import idx
from comvae.errors import DatasetError
from tests.datasets.served import gzipped, idx_bytes, sha256

SHAPE = (4, 3, 2)
ARRAY = np.arange(24, dtype=np.uint8).reshape(SHAPE)
GOOD = idx_bytes(ARRAY)


def unpack(folder, content: bytes, shape=SHAPE) -> np.ndarray:
    path = folder / "file.gz"
    path.write_bytes(content)
    checksum = idx.unpack(path, folder / "content", shape)
    assert checksum == sha256((folder / "content").read_bytes())
    return idx.read(folder / "content", shape)


def test_the_array_comes_back_row_by_row(tmp_path):
    array = unpack(tmp_path, gzipped(GOOD))
    np.testing.assert_array_equal(array, ARRAY)
    assert array[0].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_file_that_a_server_unpacked_on_the_way_is_read(tmp_path):
    np.testing.assert_array_equal(unpack(tmp_path, GOOD), ARRAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (gzipped(b""), "an empty file"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "an HTML page"),
        (gzipped(GOOD)[:-9], "damaged or truncated gzip"),
        (gzipped(GOOD)[:1] + b"\x8b", "damaged or truncated gzip"),
        (gzipped(GOOD) + b"more", "damaged or truncated gzip"),
        (gzipped(GOOD)[:-8] + bytes(8), "damaged or truncated gzip"),
        (gzipped(b"\x00\x00\x0d" + GOOD[3:]), "starts with 0x00000d03"),
        (gzipped(GOOD[:3] + b"\x01" + GOOD[4:]), "magic number 0x00000803"),
        (gzipped(idx_bytes(ARRAY[:3])), "IDX file of 3 x 3 x 2, expected 4 x 3 x 2"),
        (gzipped(GOOD[:10]), "expected 4 x 3 x 2"),
        (gzipped(GOOD[:-1]), f"{len(GOOD) - 1} bytes of content"),
        (gzipped(GOOD + b"\x00"), f"more than {len(GOOD)} bytes"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, message):
    with pytest.raises(DatasetError, match=message):
        unpack(tmp_path, content)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    bomb = gzip.compress(GOOD + bytes(50_000_000))
    with pytest.raises(DatasetError, match="more than"):
        unpack(tmp_path, bomb)
    assert (tmp_path / "content").stat().st_size == len(GOOD) + 1
