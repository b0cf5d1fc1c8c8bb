"""Corrupted inputs: always the project's own error, never an accepted file."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comvae.datasets.fetching import fetch
from comvae.datasets.loading import load
from comvae.datasets.source import PARTS
from comvae.errors import DatasetError
from tests.datasets.served import (
    HASTY,
    emnist_entry,
    emnist_members,
    fetch_tiny,
    gzipped,
    idx_bytes,
    leftovers,
    tiny_arrays,
    tiny_files,
    tiny_mirror,
    tiny_source,
    zip_bytes,
    zip_members,
    zip_record,
)

FUZZ = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def corrupted(draw, good: bytes) -> bytes:
    """`good` with bytes flipped, cut out, inserted, or replaced altogether."""
    kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "replace"]))
    if kind == "replace":
        return draw(st.binary(max_size=200))
    start = draw(st.integers(0, len(good) - 1))
    if kind == "flip":
        changed = bytearray(good)
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(good) - 1))
            changed[at] ^= draw(st.integers(1, 255))
        return bytes(changed)
    if kind == "cut":
        end = draw(st.integers(start + 1, len(good)))
        return good[:start] + good[end:]
    if kind == "insert":
        return good[:start] + draw(st.binary(min_size=1, max_size=20)) + good[start:]
    return good[:start] + good[start:] * 2


def refused_or_the_same(fetching, expected: dict) -> bool:
    """Whether `fetching(folder)` was refused; if not, nothing but `expected` came.

    A flipped byte in the name or time that a gzip or zip header carries changes no
    content, and what counts is the content.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            path = fetching(folder)
        except DatasetError as error:
            assert "found" in str(error)
            assert leftovers(folder / "out") == []
            return True
        for part in PARTS:
            array = np.load(path.parent / f"{part}.npy")
            np.testing.assert_array_equal(array, expected[part])
        return False


FILES, ARRAYS = tiny_files(), tiny_arrays()
KNOWN = tiny_source(publishers=())
LETTERS = tiny_arrays(first_label=1)
MEMBERS = emnist_members("letters", LETTERS)
STORED = {
    **LETTERS,
    "train-labels": LETTERS["train-labels"] - 1,
    "test-labels": LETTERS["test-labels"] - 1,
}


def part_and_corrupted(good: dict[str, bytes]) -> st.SearchStrategy:
    """One part of a dataset, and its content, corrupted."""
    parts = st.sampled_from(PARTS)
    return parts.flatmap(lambda part: st.tuples(st.just(part), corrupted(good[part])))


def fetching_with(part: str, content: bytes):
    """A fetch of the tiny dataset in which the file of one part is another."""

    def fetching(folder):
        mirror = tiny_mirror(folder / "mirror", {**FILES, part: content})
        return fetch_tiny(folder / "out", mirror, KNOWN)

    return fetching


@FUZZ
@given(part_and_corrupted(FILES))
def test_corrupted_gzip_files(case):
    refused_or_the_same(fetching_with(*case), ARRAYS)


@FUZZ
@given(part_and_corrupted({part: idx_bytes(ARRAYS[part]) for part in PARTS}))
def test_corrupted_content_in_a_good_gzip_file(case):
    part, content = case
    same = content == idx_bytes(ARRAYS[part])
    packed = gzipped(content, level=1)
    assert refused_or_the_same(fetching_with(part, packed), ARRAYS) is not same


@FUZZ
@given(corrupted(zip_bytes(MEMBERS)))
def test_corrupted_zips(content):
    def fetching(folder):
        path = folder / "mirror" / "emnist" / "gzip.zip"
        archive = zip_record(zip_members(path, MEMBERS))
        path.write_bytes(content)
        registry = {"emnist-letters": emnist_entry("emnist-letters", archive, MEMBERS)}
        mirror = str(folder / "mirror")
        return fetch("emnist-letters", folder / "out", mirror, registry, HASTY)

    refused_or_the_same(fetching, STORED)


@FUZZ
@given(st.data())
def test_corrupted_results(tmp_path_factory, data):
    """What a fetch has written, damaged later, is never loaded as if it were whole."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    if not folder.exists():
        fetch_tiny(folder / "out", tiny_mirror(folder / "mirror"))
    name = data.draw(st.sampled_from(["dataset.json", "train-images.npy"]))
    path = folder / "out" / name
    good = path.read_bytes()
    path.write_bytes(data.draw(corrupted(good)))
    try:
        train = load(folder / "out").train
    except DatasetError:
        return
    finally:
        path.write_bytes(good)
    expected = ARRAYS["train-images"].reshape(len(train), -1)
    np.testing.assert_array_equal(train.numpy(), expected)
