"""EMNIST: a zip with the real member names and structure, built here."""

import json

import numpy as np
import pytest

from comvae.datasets.fetching import fetch
from comvae.datasets.source import PARTS
from comvae.errors import DatasetError
from tests.datasets.served import (
    HASTY,
    TEST,
    TRAIN,
    WHOLE,
    Reply,
    changed,
    emnist_entry,
    emnist_members,
    gzipped,
    leftovers,
    serving,
    sha256,
    tiny_arrays,
    zip_members,
    zip_record,
)

NAME = "emnist-letters"
ARRAYS = tiny_arrays(first_label=1)
MEMBERS = emnist_members(NAME, ARRAYS)
ZIPPED = {  # the real zip holds every split and a mapping of each
    **emnist_members("emnist-mnist", tiny_arrays()),
    "gzip/emnist-letters-mapping.txt": b"1 65 97\n",
    **MEMBERS,
}
TEST_LABELS = "gzip/emnist-letters-test-labels-idx1-ubyte.gz"


def fetch_letters(tmp_path, archive, mirror, **kwargs):
    registry = {NAME: emnist_entry(NAME, archive, **{"members": MEMBERS, **kwargs})}
    return fetch(NAME, tmp_path / "out", str(mirror), registry, HASTY)


@pytest.fixture
def mirror(tmp_path):
    """A mirror folder with the zip; not square, so that a transposed image shows."""
    zip_members(tmp_path / "mirror" / "emnist" / "gzip.zip", ZIPPED)
    return tmp_path / "mirror"


@pytest.fixture
def archive(mirror):
    return zip_record(mirror / "emnist" / "gzip.zip")


def test_images_are_turned_upright_and_letters_count_from_zero(
    tmp_path, mirror, archive
):
    path = fetch_letters(tmp_path, archive, mirror)
    for split in ("train", "test"):
        images = np.load(path.parent / f"{split}-images.npy")
        np.testing.assert_array_equal(images, ARRAYS[f"{split}-images"])
        labels = np.load(path.parent / f"{split}-labels.npy")
        np.testing.assert_array_equal(labels, ARRAYS[f"{split}-labels"] - 1)
    record = json.loads(path.read_text())
    assert record["changes"] == [
        "images turned upright: published with rows and columns swapped",
        "labels 1..3 stored as 0..2",
    ]
    assert {f["verified"] for f in record["files"].values()} == {"gzip-sha256"}
    assert record["source"]["test-labels"] == (
        f"{mirror}/emnist/gzip.zip ({TEST_LABELS})"
    )


def test_a_square_image_is_upright_too(tmp_path):
    """A vertical bar, as a reader sees it, in a file that stores columns first."""
    upright = np.zeros((28, 28), np.uint8)
    upright[4:24, 20] = 255  # from row 4 to 23, right of the middle
    count = {"train": TRAIN, "test": TEST}
    arrays = {
        part: np.repeat(upright[None], count[part.split("-")[0]], axis=0)
        if part.endswith("images")
        else tiny_arrays()[part]
        for part in PARTS
    }
    members = emnist_members("emnist-mnist", arrays)
    path = zip_members(tmp_path / "mirror" / "emnist" / "gzip.zip", members)
    source = emnist_entry("emnist-mnist", zip_record(path), members)
    source = changed(source, height=28, width=28)
    registry = {"emnist-mnist": source}
    fetch("emnist-mnist", tmp_path / "out", str(tmp_path / "mirror"), registry)
    image = np.load(tmp_path / "out" / "train-images.npy")[0]
    assert image[10, 20] == 255 and image[20, 10] == 0


def test_the_zip_of_a_server_is_downloaded_once_and_not_kept(tmp_path, mirror, archive):
    with serving() as server:
        body = (mirror / "emnist" / "gzip.zip").read_bytes()
        server.replies["/emnist/gzip.zip"] = [Reply(body)]
        fetch_letters(tmp_path, archive, server.base)
    assert server.asked.count("/emnist/gzip.zip") == 1
    assert leftovers(tmp_path / "out") == WHOLE


@pytest.mark.parametrize("folder", ["emnist", "emnist/gzip"])
def test_loose_members_need_no_zip(tmp_path, archive, folder):
    base = tmp_path / "loose"
    (base / folder).mkdir(parents=True)
    for name, content in MEMBERS.items():
        (base / folder / name.removeprefix("gzip/")).write_bytes(content)
    path = fetch_letters(tmp_path, archive, base)
    np.testing.assert_array_equal(
        np.load(path.parent / "test-images.npy"), ARRAYS["test-images"]
    )


def test_the_zip_vouches_for_its_members(tmp_path, mirror, archive):
    path = fetch_letters(tmp_path, archive, mirror, pinned=False)
    record = json.loads(path.read_text())
    assert record["files"]["train-images"]["verified"] == "archive-sha256"


RECOMPRESSED = {**MEMBERS, TEST_LABELS: MEMBERS[TEST_LABELS] + gzipped(b"")}


def test_neither_zip_nor_member_as_published_is_refused(tmp_path, archive):
    path = zip_members(tmp_path / "gzip.zip", RECOMPRESSED)
    archive = changed(archive, size=path.stat().st_size)
    with serving() as server:
        server.replies["/emnist/gzip.zip"] = [Reply(path.read_bytes())]
        with pytest.raises(DatasetError) as caught:
            fetch_letters(tmp_path, archive, server.base)
    message = str(caught.value)
    assert "found other bytes than published: SHA-256 of the gzip file" in message
    assert f"; SHA-256 of the zip {sha256(path.read_bytes())}" in message
    assert "MIRROR/emnist/gzip.zip" in message
    assert leftovers(tmp_path / "out") == []


def test_a_recompressed_file_in_a_folder_passes_as_unverified(
    tmp_path, mirror, archive
):
    """What a user has differs from what is published only in its compression, perhaps:
    the record says that nothing proves it."""
    zip_members(mirror / "emnist" / "gzip.zip", RECOMPRESSED)
    files = json.loads(fetch_letters(tmp_path, archive, mirror).read_text())["files"]
    assert files["test-labels"]["verified"] == "unverified"
    assert files["test-images"]["verified"] == "gzip-sha256"


def test_a_proven_file_goes_before_one_that_nothing_proves(tmp_path, mirror, archive):
    loose = mirror / "emnist" / TEST_LABELS.removeprefix("gzip/")
    loose.write_bytes(RECOMPRESSED[TEST_LABELS])
    record = json.loads(fetch_letters(tmp_path, archive, mirror).read_text())
    assert record["files"]["test-labels"]["verified"] == "gzip-sha256"


def test_a_member_that_would_escape_is_never_written(tmp_path, mirror, archive):
    escaping = {**ZIPPED, "../../escaped": b"evil", str(tmp_path / "escaped"): b"evil"}
    zip_members(mirror / "emnist" / "gzip.zip", escaping)
    fetch_letters(tmp_path, archive, mirror)
    assert leftovers(tmp_path) == ["mirror", "out"]
    assert leftovers(tmp_path / "out") == WHOLE


def test_a_zip_without_the_member_is_refused(tmp_path, mirror):
    members = {k: v for k, v in ZIPPED.items() if k != TEST_LABELS}
    path = zip_members(mirror / "emnist" / "gzip.zip", members)
    with pytest.raises(DatasetError, match=f"without {TEST_LABELS}"):
        fetch_letters(tmp_path, zip_record(path), mirror)


def test_a_member_that_is_too_large_is_refused(tmp_path, mirror):
    bomb = {**ZIPPED, TEST_LABELS: MEMBERS[TEST_LABELS] + bytes(3 << 20)}
    path = zip_members(mirror / "emnist" / "gzip.zip", bomb)
    with pytest.raises(DatasetError, match="found more than the"):
        fetch_letters(tmp_path, zip_record(path), mirror)


@pytest.mark.parametrize(
    "damage", [lambda z: z[:-30], lambda z: b"<html>", lambda z: b""]
)
def test_a_damaged_zip_is_refused(tmp_path, mirror, damage):
    path = mirror / "emnist" / "gzip.zip"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match="found a damaged zip"):
        fetch_letters(tmp_path, zip_record(path), mirror)
    assert leftovers(tmp_path / "out") == []


def test_a_zip_of_a_server_that_is_larger_than_published_is_not_downloaded_whole(
    tmp_path, mirror, archive
):
    with serving() as server:
        body = (mirror / "emnist" / "gzip.zip").read_bytes() + b"1"
        server.replies["/emnist/gzip.zip"] = [Reply(body)]
        with pytest.raises(DatasetError, match=f"more than the {archive.size} bytes"):
            fetch_letters(tmp_path, archive, server.base)


def test_labels_that_do_not_count_from_one_are_refused(tmp_path, mirror):
    members = emnist_members(NAME, tiny_arrays(first_label=0))
    path = zip_members(mirror / "emnist" / "gzip.zip", members)
    with pytest.raises(DatasetError, match="labels from 0 to 2, expected 1 to 3"):
        fetch_letters(tmp_path, zip_record(path), mirror, members=members)
    assert leftovers(tmp_path / "out") == []
