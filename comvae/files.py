"""Writing files so that a reader never sees half of one, and telling where one did."""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comvae.errors import ResultsError

AGAIN = "delete it and run the study again"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place once the block succeeds.

    After a kill at any moment `path` holds the old content or the new, never a part.
    Raises OSError with the name of `path` where the disk is full or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would lock colleagues out
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def remove_left_behind(path: Path) -> None:
    """Remove what writers of `path` that were killed left beside it.

    Only for the one who may write `path`: a living writer would lose its work.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable(*folders: Path) -> None:
    """Raise ResultsError where this user may not write to, or make, one of them."""
    for folder in folders:
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        if not os.access(there, os.W_OK | os.X_OK):
            raise ResultsError(
                f"{there}: this user may not write there, and a study does; make it "
                "writable, or run the study in a copy of the project that you own"
            )


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sum(path: Path) -> None:
    """Write `<name>.sha256` beside a file, as `sha256sum` does."""
    write_text(_sum_of(path), f"{sha256_of(path)}  {path.name}\n")


def check_sum(path: Path) -> None:
    """Raise ResultsError where a file is not as `<name>.sha256` beside it says; without
    one nothing is known of it."""
    beside = _sum_of(path)
    if beside.exists():
        check_sha256(path, beside.read_text("utf-8").partition(" ")[0])


def _sum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_sha256(path: Path, expected: str | None) -> None:
    """Raise ResultsError where a file is not as it was written; `expected` is None
    where nothing is known of it."""
    if expected is not None and (found := sha256_of(path)) != expected:
        raise ResultsError(
            f"{path} is damaged: found SHA-256 {found}, expected {expected}; {AGAIN}"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def link(source: Path, target: Path) -> None:
    """A second name of a file; a copy, where the disk is another or has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), temporary)
        except OSError:
            shutil.copy2(source, temporary)
