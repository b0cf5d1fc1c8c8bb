"""Downloads from a real HTTP server on loopback that serves every kind of trouble."""

import json
import logging

import pytest
import requests

from comvae.datasets.download import Downloader, refuse_downgrade
from comvae.errors import DatasetError
from tests.datasets.served import (
    HASTY,
    NAMES,
    WHOLE,
    Reply,
    fetch_tiny,
    gzipped,
    idx_bytes,
    leftovers,
    serving,
    tiny_arrays,
    tiny_files,
    tiny_mirror,
)

PART = "train-images"
PATH = f"/tiny/{NAMES[PART]}"
GOOD = tiny_files()[PART]
WRONG = gzipped(idx_bytes(tiny_arrays()[PART] ^ 255))


def test_the_good_files_are_taken(tmp_path, caplog, capfd):
    with serving() as server, caplog.at_level(logging.INFO, "comvae"):
        path = fetch_tiny(tmp_path / "out", server.base)
    assert leftovers(tmp_path / "out") == WHOLE
    record = json.loads(path.read_text())
    assert record["source"][PART] == server.base + PATH
    assert f"downloading {server.base}{PATH}" in caplog.messages
    assert "\r" not in capfd.readouterr().err  # no progress bar in a log file
    assert len(server.asked) == 4


def test_a_server_that_is_busy_twice_is_asked_a_third_time(tmp_path, caplog):
    with serving() as server, caplog.at_level(logging.INFO, "comvae"):
        server.serve(PART, Reply(status=503), Reply(status=503), Reply(GOOD))
        fetch_tiny(tmp_path / "out", server.base)
    assert server.asked.count(PATH) == 3
    assert leftovers(tmp_path / "out") == WHOLE
    waits = [m for m in caplog.messages if "trying again" in m]
    assert [m.rpartition("trying again ")[2] for m in waits] == [
        "in 0.01 s",
        "in 0.02 s",
    ]


@pytest.mark.parametrize(
    ("reply", "reason", "times_asked"),
    [
        (Reply(status=503), "503 Service Unavailable", 3),
        (Reply(status=404), "404 Not Found", 1),
        (Reply(GOOD[:-20], promised=len(GOOD)), "the download broke off, 3 times", 3),
        (Reply(GOOD[:-20]), "found a damaged or truncated gzip file", 1),
        (Reply(WRONG), "found other bytes than published: SHA-256 of the content", 1),
        (Reply(b"<!DOCTYPE html><p>Sign in"), "found an HTML page, expected an IDX", 1),
        (Reply(b""), "found an empty file", 1),
        (Reply(GOOD[:5], promised=len(GOOD), stall=True), "the server stalled, 3", 3),
        (Reply(GOOD + bytes(3 << 20)), "found more than the", 1),
        (Reply(status=302, location=PATH), "Exceeded 30 redirects", 31),
    ],
    ids=[
        "busy",
        "missing",
        "broken off",
        "truncated",
        "wrong bytes",
        "HTML page",
        "empty",
        "stall",
        "endless",
        "redirection in a circle",
    ],
)
def test_trouble_ends_in_one_clear_message(tmp_path, reply, reason, times_asked):
    with serving() as server:
        server.serve(PART, reply)
        with pytest.raises(DatasetError) as caught:
            fetch_tiny(tmp_path / "out", server.base)
    assert f"{server.base}{PATH}: {reason}" in str(caught.value)
    assert server.asked == [PATH] * times_asked
    assert leftovers(tmp_path / "out") == []


def test_the_next_mirror_helps_out(tmp_path, monkeypatch):
    with serving() as server:
        server.serve(PART, Reply(WRONG))
        monkeypatch.setenv("COMVAE_MIRROR", server.base + "/")
        mirror = tiny_mirror(tmp_path / "mirror")
        path = fetch_tiny(tmp_path / "out", mirror)
    source = json.loads(path.read_text())["source"]
    assert source[PART] == str(mirror / "tiny" / NAMES[PART])
    assert source["test-labels"].startswith(server.base)


def test_a_server_that_does_not_answer_is_given_up_for_all_files(tmp_path):
    download = Downloader(HASTY)
    with serving() as server:
        server.serve(PART, Reply(GOOD[:5], promised=len(GOOD), stall=True))
        with pytest.raises(DatasetError, match="the server stalled, 3 times"):
            download(server.base + PATH, tmp_path / "file", len(GOOD))
        with pytest.raises(DatasetError, match="not asked again"):
            download(server.base + "/other", tmp_path / "file", len(GOOD))
    assert server.asked == [PATH] * 3


def test_a_password_in_the_url_of_a_mirror_is_not_shown(tmp_path, caplog):
    with serving() as server, caplog.at_level(logging.INFO, "comvae"):
        server.serve("test-labels", Reply(status=404))
        base = server.base.replace("//", "//user:secret@")
        with pytest.raises(DatasetError) as caught:
            fetch_tiny(tmp_path / "out", base)
        server.serve("test-labels", Reply(tiny_files()["test-labels"]))
        path = fetch_tiny(tmp_path / "out", base)
    assert "secret" not in str(caught.value) + caplog.text + path.read_text()


@pytest.mark.parametrize(
    ("url", "location", "refused"),
    [
        ("https://example.org/a", "http://example.org/b", True),
        ("https://example.org/a", "https://example.com/b", False),
        ("https://example.org/a", "/b", False),
        ("http://127.0.0.1/a", "http://127.0.0.1/b", False),
    ],
)
def test_https_is_never_left(url, location, refused):
    response = requests.Response()
    response.url, response.status_code = url, 302
    response.headers["location"] = location
    if refused:
        with pytest.raises(DatasetError, match="from https to http://"):
            refuse_downgrade(response)
    else:
        refuse_downgrade(response)
