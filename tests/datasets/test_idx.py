"""IDX files are read as their format says, and refused where they are not whole."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comvae.datasets import idx
from comvae.errors import DatasetError
from tests.datasets.served import gzipped, idx_bytes, sha256

SHAPE = (4, 3, 2)
ARRAY = np.arange(24, dtype=np.uint8).reshape(SHAPE)
GOOD = idx_bytes(ARRAY)


def unpack(folder, content: bytes, shape=SHAPE) -> np.ndarray:
    path = folder / "file.gz"
    path.write_bytes(content)
    array, checksum = idx.read(path, shape)
    assert checksum == sha256(GOOD)
    return array


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
    size = 100_000_000
    with gzip.open(tmp_path / "bomb", "wb", compresslevel=1) as file:
        file.write(GOOD)
        for _ in range(size // 1_000_000):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(DatasetError, match="more than"):
        idx.read(tmp_path / "bomb", SHAPE)
    assert tracemalloc.get_traced_memory()[1] < size / 100
    tracemalloc.stop()


@given(start=st.binary(max_size=16))
def test_any_other_header_is_refused(tmp_path_factory, start):
    content = start + GOOD[len(start) :]
    folder = tmp_path_factory.getbasetemp()
    if content == GOOD:
        np.testing.assert_array_equal(unpack(folder, content), ARRAY)
        return
    with pytest.raises(DatasetError, match="found"):
        unpack(folder, gzipped(content, level=1))
