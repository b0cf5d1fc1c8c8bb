"""A lock on a block's folder, so that two live copies of one job never both write.

A cluster may start a job again elsewhere while the first copy still runs. File locks of
the operating system do not reach other hosts on every network file system, so the lock
is a file with its owner's name in it and a heartbeat. (filelock's SoftFileLease is such
a lock, but never takes one over from a dead host on NFS.)
"""

import json
import logging
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from comvae.errors import StoppedError
from comvae.files import write_text
from comvae.study.signals import EXIT_STATUS

log = logging.getLogger("comvae")

LOCK = "lock.json"
BEAT = 10.0  # seconds between two signs of life
STALE = 45.0  # seconds without one after which the owner counts as dead


@contextmanager
def held(
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    beat: float = BEAT,
    stale: float = STALE,
) -> Iterator[bool]:
    """Hold the lock `lock.json` in `folder`; yields whether it was another's before.

    Waits while that owner lives, and takes the lock over with a line in the log once it
    is dead: on this host at once, elsewhere after `stale` seconds without a heartbeat.
    Raises StoppedError where `stop` turns true meanwhile. A process that was taken for
    dead and wakes up without its lock ends at once, with the exit status of an
    interrupted job. The folder goes with the lock if nothing else is in it.
    """
    path = folder / LOCK
    own = {
        "owner": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
    }
    waited = _acquire(path, own, stop, stale)
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
        yield waited
    finally:
        done.set()
        heart.join()
        path.unlink(missing_ok=True)
        with suppress(OSError):  # checkpoints, or the lock of one who has waited
            folder.rmdir()


def empty(folder: Path) -> None:
    """Remove all but the lock from a folder whose lock is held."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def _acquire(path: Path, own: dict, stop: Callable[[], bool], stale: float) -> bool:
    """Make the lock `own`; says whether someone else's was there."""
    waited = False
    while True:
        with suppress(FileExistsError):  # it was there, and is just being removed
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x") as file:
                json.dump(own, file)
            return waited
        except FileNotFoundError:
            continue  # its owner has just removed the folder
        except FileExistsError:
            waited = True
            found = _wait(path, own["host"], stop, stale)
        except OSError as error:
            path.unlink(missing_ok=True)  # on a full disk it is there, and nobody's
            raise OSError(error.errno, error.strerror, str(path)) from None
        if found is None:
            continue
        log.warning("%s: taken over from %s, which is dead", path, _name(found))
        write_text(path, json.dumps(own))
        time.sleep(min(1.0, stale / 10))  # another taker may have come after us
        if _read(path).get("owner") == own["owner"]:
            return waited


def _wait(path: Path, host: str, stop: Callable[[], bool], stale: float) -> dict | None:
    """Wait for the owner to let go, which gives None, or to be dead: who it was."""
    found, changed = _read(path), time.monotonic()
    if not _is_dead(found, host):
        log.info("%s: held by %s; waiting for its end", path, _name(found))
    while path.exists():
        if _is_dead(found, host) or time.monotonic() - changed > stale:
            return found
        if stop():
            raise StoppedError(f"stopped while {_name(found)} had {path}")
        time.sleep(min(1.0, stale / 20))
        if (now := _read(path)) != found:
            found, changed = now, time.monotonic()
    return None


def _is_dead(found: dict, host: str) -> bool:
    """Whether the owner is known to be dead: a process of this host."""
    pid = found.get("pid")
    lives = type(pid) is int and psutil.pid_exists(pid)
    return found.get("host") == host and not lives


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _name(found: dict) -> str:
    job = f", job {found['job']}" if found.get("job") else ""
    return f"process {found.get('pid', '?')} on {found.get('host', '?')}{job}"
