"""The lock of a block: one live owner, and none that is dead."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from comvae.errors import StoppedError
from comvae.study.lock import empty, held

FAST = {"beat": 0.05, "stale": 0.6}


def left_behind(folder: Path, **owner) -> Path:
    path = folder / "lock.json"
    owner = {"owner": "other", "host": "elsewhere", "pid": 1, "job": "17"} | owner
    path.write_text(json.dumps(owner))
    return path


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_names_its_owner_and_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    with held(tmp_path / "state", **FAST):
        found = json.loads((tmp_path / "state" / "lock.json").read_text())
        assert found["host"] == socket.gethostname() and found["pid"] == os.getpid()
        assert found["job"] == "42"
    assert not (tmp_path / "state" / "lock.json").exists()


def test_a_second_owner_waits_for_the_living_first(tmp_path, caplog):
    """Longer than the first may be silent: it is not silent, and keeps the lock."""
    caplog.set_level("INFO")
    folder, order = tmp_path / "state", []

    def second() -> None:
        with held(folder, **FAST) as waited:
            order.append(("second", waited))

    with held(folder, **FAST) as waited:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(2 * FAST["stale"])
        order.append(("first", waited))
    thread.join(timeout=30)
    assert order == [("first", False), ("second", True)]
    assert f"held by process {os.getpid()}" in caplog.text
    assert not folder.exists()


def test_whoever_waits_can_be_stopped(tmp_path):
    with held(tmp_path, **FAST):
        with (
            pytest.raises(StoppedError, match=rf"while process {os.getpid()} on "),
            held(tmp_path, lambda: True, **FAST),
        ):
            pass
        assert (tmp_path / "lock.json").exists()


def test_owners_that_remove_the_folder_keep_nobody_from_it(tmp_path):
    """Each removes the folder with its lock, while the others are about to take it."""
    folder, inside, entered = tmp_path / "state", [], []

    def work() -> None:
        for _ in range(20):
            with held(folder, beat=0.05, stale=4):
                inside.append(1)
                assert len(inside) == 1
                (folder / "checkpoint").touch()
                empty(folder)
                inside.pop()
            entered.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(entered) == 80 and not folder.exists()


def test_all_but_the_lock_is_removed(tmp_path):
    with held(tmp_path, **FAST):
        (tmp_path / "seeds-0").mkdir()
        (tmp_path / "seeds-0" / "checkpoint").touch()
        (tmp_path / "checkpoint").touch()
        empty(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_the_lock_of_a_dead_process_of_this_host_is_taken_at_once(tmp_path, caplog):
    left_behind(tmp_path, host=socket.gethostname(), pid=dead_process())
    start = time.monotonic()
    with held(tmp_path, beat=10, stale=8):
        assert time.monotonic() - start < 4
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert "taken over from process" in caplog.text and "job 17" in caplog.text


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_lock_without_a_heartbeat_is_taken_after_a_while(content, tmp_path):
    path = left_behind(tmp_path)
    if content is not None:
        path.write_text(content)
    start = time.monotonic()
    with held(tmp_path, **FAST):
        assert time.monotonic() - start > 0.5


def test_a_lock_that_is_let_go_meanwhile_is_taken(tmp_path):
    path = left_behind(tmp_path)
    threading.Timer(0.2, path.unlink).start()
    with held(tmp_path, beat=0.05, stale=30):
        pass


def test_an_owner_that_lost_its_lock_ends_before_it_writes_again(tmp_path):
    """As after a long sleep: someone else has taken the block."""
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from comvae.study.lock import held\n"
        "with held(Path(sys.argv[1]), beat=0.05, stale=1):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    path = left_behind(tmp_path)
    assert process.wait(timeout=30) == 75
    assert json.loads(path.read_text())["owner"] == "other"
