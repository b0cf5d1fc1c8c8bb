"""Take single members out of a zip, trusting nothing in it."""

import errno
import lzma
import shutil
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from comvae.datasets.download import BoundedFile
from comvae.errors import DatasetError

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted member
)


def extract(archive: Path, member: str, target: Path, limit: int) -> None:
    """Write one member of a zip to `target`, at most `limit` bytes.

    Raises DatasetError where the zip is damaged, has no such member, or names a
    member outside of its own folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            for name in names:
                _refuse_escape(name)
            if member not in names:
                raise DatasetError(
                    f"found a zip of {len(names)} members without {member}"
                )
            with opened.open(member) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, BoundedFile(file, limit), 1 << 20)
    except DAMAGE as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise  # the fault of this disk, not of the zip
        raise DatasetError(
            f"found a damaged zip ({error}), expected one that holds {member}"
        ) from None


def _refuse_escape(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise DatasetError(
            f"found a zip with the member {name!r}, which lies outside of the zip; "
            "expected plain member names"
        )
