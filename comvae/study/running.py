"""Which studies run in a folder now, and which blocks each of them makes.

A study that runs has a file here, on which its process holds a lock of the operating
system: that ends with the process, however it ends.
"""

import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from comvae.errors import ResultsError

_HELD: list[TextIO] = []  # open for as long as this process lives


def run_alone(folder: Path, study: str, makes: Iterable[str]) -> None:
    """Note in `folder` that this process runs a study, which makes these blocks.

    Raises ResultsError where the study runs there already, and where another one that
    runs there makes one of the blocks too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makes = sorted(makes)
    with _opened(folder / "lock") as everyone, ExitStack() as at_error:
        fcntl.flock(everyone, fcntl.LOCK_EX)  # one after the other
        own = at_error.enter_context(_opened(folder / f"{study}.json"))
        if not _lock(own):
            raise ResultsError(
                f"{folder / study}.json: found the study `{study}` running in this "
                "folder already, expected one at a time; wait for it, or end it first"
            )
        for other in sorted(folder.glob("*.json")):
            if other.stem != study and (both := _made_by(other) & set(makes)):
                raise ResultsError(
                    f"{min(both)}: found the study `{other.stem}` making this block "
                    f"now, which `{study}` makes too; run it once that has ended"
                )
        own.truncate(0)
        own.write(json.dumps(makes))
        own.flush()
        _HELD.append(own)
        at_error.pop_all()


def _opened(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o666), "r+")


def _lock(file: TextIO) -> bool:
    """Lock an open file; False where another process has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _made_by(path: Path) -> set[str]:
    """The blocks that a study makes now; none where it does not run."""
    with _opened(path) as file:
        return set() if _lock(file) else set(json.load(file))
