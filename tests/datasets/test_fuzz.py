"""Corrupted inputs: always the project's own error, never an accepted file."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comvae.datasets.fetching import fetch
from comvae.datasets.loading import load
from comvae.datasets.source import PARTS, DatasetSource
from comvae.errors import DatasetError
from tests.datasets.served import (
    HASTY,
    archive_of,
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


def check(arrays: dict, mirror_of, entry: DatasetSource) -> None:
    """A fetch from a mirror is refused, or brings `arrays` and nothing else.

    A flipped byte in the name or time that a gzip or zip header carries changes no
    content, and what counts is the content.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mirror_of(folder / "mirror")
        try:
            fetch("any", folder / "out", str(folder / "mirror"), {"any": entry}, HASTY)
        except DatasetError as error:
            assert "found" in str(error)
            assert leftovers(folder / "out") == []
            return
        for part in PARTS:
            array = np.load(folder / "out" / f"{part}.npy")
            np.testing.assert_array_equal(array, arrays[part])


FILES, ARRAYS = tiny_files(), tiny_arrays()
LETTERS = tiny_arrays(first_label=1)
MEMBERS = emnist_members("emnist-letters", LETTERS)
ZIPPED = zip_bytes(MEMBERS)
ARCHIVE = archive_of(ZIPPED)


@FUZZ
@given(st.data(), st.sampled_from(PARTS), st.booleans())
def test_corrupted_files(data, part, compressed):
    """The gzipped file is corrupted, or its content before it is gzipped."""
    if compressed:
        content = data.draw(corrupted(FILES[part]))
    else:
        content = gzipped(data.draw(corrupted(idx_bytes(ARRAYS[part]))), level=1)
    files = {**FILES, part: content}
    check(ARRAYS, lambda base: tiny_mirror(base, files), tiny_source(publishers=()))


@FUZZ
@given(corrupted(ZIPPED))
def test_corrupted_zips(content):
    def mirror_of(base):
        (base / "emnist").mkdir(parents=True)
        (base / "emnist" / "gzip.zip").write_bytes(content)

    stored = {p: a - 1 if a.ndim == 1 else a for p, a in LETTERS.items()}
    check(stored, mirror_of, emnist_entry("emnist-letters", ARCHIVE, MEMBERS))


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
