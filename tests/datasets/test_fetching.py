"""Fetching from a mirror folder: what is taken, what is refused, what is left."""

import json
import multiprocessing
import threading

import numpy as np
import pytest

from comvae.datasets.download import Patience
from comvae.datasets.fetching import fetch
from comvae.datasets.source import PARTS
from comvae.errors import DatasetError
from tests.datasets.served import (
    CLOSED_PORT,
    NAMES,
    WHOLE,
    Reply,
    fetch_tiny,
    gzipped,
    idx_bytes,
    leftovers,
    serving,
    sha256,
    tiny_arrays,
    tiny_files,
    tiny_mirror,
    tiny_source,
)


def test_a_mirror_folder_gives_arrays_and_a_record(tmp_path):
    mirror = tiny_mirror(tmp_path / "mirror")
    path = fetch_tiny(tmp_path / "out", mirror)
    assert path == tmp_path / "out" / "dataset.json"
    assert leftovers(tmp_path / "out") == WHOLE
    record, arrays = json.loads(path.read_text()), tiny_arrays()
    for part in PARTS:
        array = np.load(tmp_path / "out" / f"{part}.npy")
        np.testing.assert_array_equal(array, arrays[part])
        assert array.dtype == np.uint8
        assert record["arrays"][part] == sha256(arrays[part].tobytes())
        assert record["files"][part] == {
            "name": NAMES[part],
            "bytes": len(idx_bytes(arrays[part])),
            "sha256": sha256(idx_bytes(arrays[part])),
            "verified": "sha256",
        }
        assert record["source"][part] == str(mirror / "tiny" / NAMES[part])
    assert record["counts"] == {"train": 6, "test": 4}
    mean = arrays["test-images"].mean() / 255
    assert record["mean_intensity"]["test"] == pytest.approx(mean)


def test_a_recompressed_copy_passes(tmp_path):
    files = {p: gzipped(idx_bytes(a), level=1) for p, a in tiny_arrays().items()}
    assert files["train-images"] != tiny_files()["train-images"]
    path = fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror", files))
    assert path.exists()


def test_the_environment_goes_before_the_argument_and_both_before_the_publishers(
    tmp_path, monkeypatch
):
    first, second = tiny_mirror(tmp_path / "1"), tiny_mirror(tmp_path / "2")
    (first / "tiny" / NAMES["test-labels"]).unlink()
    monkeypatch.setenv("COMVAE_MIRROR", str(first))
    record = json.loads(fetch_tiny(tmp_path / "out", second).read_text())
    assert record["source"]["train-images"].startswith(str(first))
    assert record["source"]["test-labels"].startswith(str(second))


def test_a_whole_folder_is_left_as_it_is(tmp_path):
    path = fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"))
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in path.parent.iterdir()}
    assert fetch_tiny(tmp_path / "out", mirror=None) == path
    after = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in path.parent.iterdir()}
    assert after == before


@pytest.mark.parametrize("damaged", [*(f"{p}.npy" for p in PARTS), "dataset.json"])
def test_a_damaged_folder_is_made_whole_again(tmp_path, damaged):
    mirror = tiny_mirror(tmp_path / "mirror")
    path = fetch_tiny(tmp_path / "out", mirror)
    good = (path.parent / damaged).read_bytes()
    (path.parent / damaged).write_bytes(good[:-3])
    fetch_tiny(tmp_path / "out", mirror)
    assert (path.parent / damaged).read_bytes() == good
    assert leftovers(path.parent) == WHOLE


def test_a_damaged_folder_that_cannot_be_mended_is_not_trusted(tmp_path):
    path = fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"))
    (path.parent / "train-images.npy").write_bytes(b"")
    with pytest.raises(DatasetError):
        fetch_tiny(tmp_path / "out", mirror=None)
    assert not path.exists()


def test_data_of_another_version_are_replaced(tmp_path):
    zeros = np.zeros(4, np.uint8)
    files = {**tiny_files(), "test-labels": gzipped(idx_bytes(zeros))}
    old, mirror = tiny_source(test_labels=zeros), tiny_mirror(tmp_path / "1", files)
    path = fetch_tiny(tmp_path / "out", mirror, old)
    assert np.load(path.parent / "test-labels.npy").tolist() == [0, 0, 0, 0]
    fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "2"))
    labels = np.load(path.parent / "test-labels.npy")
    np.testing.assert_array_equal(labels, tiny_arrays()["test-labels"])


def test_the_folder_of_another_dataset_is_not_overwritten(tmp_path):
    path = fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"))
    before = path.read_bytes()
    with pytest.raises(DatasetError, match="found the dataset `tiny`"):
        fetch("digits", tmp_path / "out")
    assert path.read_bytes() == before


ARRAYS = tiny_arrays()
OTHER = {  # content that is no damage in itself
    "one pixel differs": ("train-images", ARRAYS["train-images"] ^ 1),
    "labels of the other split": ("train-labels", ARRAYS["test-labels"]),
    "labels instead of images": ("test-images", ARRAYS["test-labels"]),
    "an image too few": ("train-images", ARRAYS["train-images"][1:]),
    "sides swapped": ("train-images", ARRAYS["train-images"].transpose(0, 2, 1)),
}


@pytest.mark.parametrize("case", OTHER)
def test_wrong_content_is_refused(tmp_path, case):
    part, array = OTHER[case]
    files = {**tiny_files(), part: gzipped(idx_bytes(array))}
    mirror = tiny_mirror(tmp_path / "mirror", files)
    with pytest.raises(DatasetError) as caught:
        fetch_tiny(tmp_path / "out", mirror)
    message = str(caught.value)
    assert f"{mirror}/tiny/{NAMES[part]}: found" in message and "expected" in message
    assert leftovers(tmp_path / "out") == []


def test_without_network_and_mirror_the_error_says_how_to_help(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with pytest.raises(DatasetError) as caught:
        fetch_tiny(tmp_path / "out", mirror)
    message, name = str(caught.value), NAMES["train-images"]
    assert f"{mirror}/tiny/{name}: no such file" in message
    assert f"{CLOSED_PORT}/{name}: no connection, 3 times" in message
    assert f"put it at MIRROR/tiny/{name}" in message
    assert "COMVAE_MIRROR=MIRROR" in message
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize(
    "base", ["nowhere", "ftp://example.org", "http://", "https://[", "http://a:b"]
)
def test_a_mirror_that_cannot_be_is_named(tmp_path, monkeypatch, base):
    with pytest.raises(DatasetError, match=r"datasets\.mirror.*found"):
        fetch_tiny(tmp_path / "out", base)
    monkeypatch.setenv("COMVAE_MIRROR", base)
    with pytest.raises(DatasetError, match=r"environment variable COMVAE_MIRROR"):
        fetch_tiny(tmp_path / "out", None)


def test_an_unknown_dataset_is_named():
    with pytest.raises(DatasetError, match=r"unknown dataset `minst`.*`mnist`"):
        fetch("minst", "out")


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DatasetError, match=r"tiny: cannot be written to .*out"):
        fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"))


def test_a_fetch_that_fails_while_writing_leaves_no_record(tmp_path):
    (tmp_path / "out" / "test-labels.npy").mkdir(parents=True)  # cannot be replaced
    with pytest.raises(DatasetError, match="tiny: cannot be written to"):
        fetch_tiny(tmp_path / "out", tiny_mirror(tmp_path / "mirror"))
    assert set(leftovers(tmp_path / "out")) == {*WHOLE} - {"dataset.json"}


def _fetch_and_tell(output, base, failures):
    try:
        fetch("tiny", output, base, {"tiny": tiny_source()}, Patience(timeout=60))
    except DatasetError as error:
        failures.put(str(error))


def test_jobs_that_fetch_at_once_do_not_harm_each_other(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.Queue()
    with serving() as server:
        # Nobody gets the first file before all have found that nothing is there yet.
        gate = threading.Barrier(3)
        server.serve("train-images", Reply(tiny_files()["train-images"], gate=gate))
        jobs = [
            spawn.Process(
                target=_fetch_and_tell, args=(tmp_path / "out", server.base, failures)
            )
            for _ in range(3)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert failures.empty(), failures.get()
    assert len(server.asked) == 3 * len(PARTS)
    assert leftovers(tmp_path / "out") == WHOLE
    assert fetch_tiny(tmp_path / "out", None).exists()  # whole: asks nobody
