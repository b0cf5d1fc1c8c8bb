"""The errors of this project: each is one message for a user, never a traceback."""

import difflib
import errno
from collections.abc import Iterable


class ComvaeError(Exception):
    """Something a user can mend; the message says what, where and how."""


class SettingsError(ComvaeError):
    """A study or model file holds a wrong setting."""


class DatasetError(ComvaeError):
    """A dataset is missing, damaged, or not what was expected."""


class ResultsError(ComvaeError):
    """A file under `results/` is missing, damaged, or of another configuration."""


class StoppedError(ComvaeError):
    """A signal stopped work that had been saved: the same command goes on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like `name`; empty where none is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean `{close[0]}`?" if close else ""


MENDING = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or ask for a larger quota",
    errno.EROFS: "make it writable, or choose another folder",
    errno.EACCES: "give this user access to it, or choose another folder",
    errno.EPERM: "give this user access to it, or choose another folder",
}


def system_message(error: OSError) -> str:
    """What to tell a user whose disk or file system refuses something."""
    why = error.strerror or str(error) or type(error).__name__
    mend = MENDING.get(error.errno or 0, "mend that")
    found = f"{error.filename}: {why}" if error.filename else why
    return (
        f"{found}; {mend} and run the same command again: what is finished is kept, "
        "and it goes on from there"
    )
