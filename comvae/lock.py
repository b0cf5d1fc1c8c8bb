"""A lock on a block's folder, so that two live copies of one job never both write.

A cluster may start a job again elsewhere while the first copy still runs. File locks of
the operating system do not reach other hosts on every network file system, so the lock
is a file with its owner's name in it and a heartbeat.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.signals import EXIT_STATUS

log = logging.getLogger("comvae")

BEAT = 10.0  # seconds between two signs of life
STALE = 45.0  # seconds without one after which the owner counts as dead


@contextmanager
def held(folder: Path, beat: float = BEAT, stale: float = STALE) -> Iterator[None]:
    """Hold the lock `lock.json` in `folder`.

    The lock of an owner that is dead, on this host at once and elsewhere after `stale`
    seconds without a heartbeat, is taken over with a line in the log. Raises
    ResultsError where the owner lives. A process that was taken for dead and wakes up
    without its lock ends at once, with the exit status of an interrupted job.
    """
    path = folder / "lock.json"
    own = {
        "owner": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
    }
    _acquire(path, own, stale)
    done = threading.Event()

    def live() -> None:
        beats = 0
        while not done.wait(beat):
            if _read(path).get("owner") != own["owner"]:
                log.error("%s: another job has taken this lock: this one ends", path)
                os._exit(EXIT_STATUS)
            beats += 1
            with suppress(OSError):  # a full disk is no reason to stop
                write_text(path, json.dumps(own | {"beats": beats}))

    heart = threading.Thread(target=live, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        path.unlink(missing_ok=True)


def _acquire(path: Path, own: dict, stale: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            with path.open("x") as file:
                json.dump(own, file)
            return
        except FileExistsError:
            found = _read(path)
            if not _is_dead(path, found, own["host"], stale):
                continue  # its owner has just let go
            log.warning("%s: taken over from %s, which is dead", path, _name(found))
            write_text(path, json.dumps(own))
            time.sleep(min(1.0, stale / 10))  # another taker may have come after us
            if _read(path).get("owner") == own["owner"]:
                return


def _is_dead(path: Path, found: dict, host: str, stale: float) -> bool:
    """Whether the owner shows no sign of life; False once the lock is gone."""
    if found.get("host") == host and not _lives(found.get("pid")):
        return True
    log.info("%s: held by %s; waiting for a sign of life", path, _name(found))
    end = time.monotonic() + stale
    while time.monotonic() < end:
        time.sleep(min(1.0, stale / 20))
        if not path.exists():
            return False
        if _read(path) != found:
            raise ResultsError(
                f"{path}: {_name(found)} is training this block; wait for it, or end it"
            )
    return True


def _lives(pid: object) -> bool:
    """Whether there is such a process on this host."""
    if type(pid) is not int or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _name(found: dict) -> str:
    job = f", job {found['job']}" if found.get("job") else ""
    return f"process {found.get('pid', '?')} on {found.get('host', '?')}{job}"
