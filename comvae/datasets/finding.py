"""Find one file of a dataset: try every place in order, take the first that is right.

A file is right if its shape is, and if one of its known checksums is: that of the
content as IDX, whatever its form, of the gzipped file as published, or of the zip that
it came in. Where that of the content is not known (EMNIST), a user's own file of
another form passes too, as unverified, if no place before the publishers has a better
one.
"""

import errno
import logging
import os
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from comvae.datasets import forms, idx
from comvae.datasets.download import Downloader, is_url
from comvae.datasets.places import Place, by_hand, places
from comvae.datasets.source import IdxFile, IdxFiles
from comvae.datasets.store import FileRecord
from comvae.errors import DatasetError
from comvae.files import sha256_of

log = logging.getLogger("comvae")

LARGEST_MEMBER = 1 << 32  # bytes of a CSV or npz in a user's zip


@dataclass
class Finder:
    """Looks for the files of one dataset, with a folder for what it downloads."""

    origin: IdxFiles
    bases: list[str]  # mirrors
    folder: Path
    download: Downloader
    zips: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def find(
        self, part: str, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, Place, FileRecord]:
        """The uint8 array of one part, from the first place that has its file right.

        Raises DatasetError that says of every place why not.
        """
        file = self.origin.files[part]
        failures, unverified = [], None
        for place in places(self.origin, file, self.bases):
            if unverified and not place.own:
                break
            try:
                array, record = self._take(place, part, shape)
            except DatasetError as error:
                log.info("%s: %s", place, error)
                failures.append(f"\n  {place}: {error}")
                continue
            if record.verified != "unverified":
                log.info("%s: verified (%s)", place, record.verified)
                return array, place, record
            unverified = unverified or (array, place, record)
        if unverified:
            log.warning("%s: unverified, no known checksum proves it", unverified[1])
            return unverified
        raise DatasetError(
            f"{self.origin.folder}/{file.name}: not found as it should be. Looked at:"
            + "".join(failures)
            + f"\n{by_hand(self.origin, file)}"
        )

    def _take(
        self, place: Place, part: str, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, FileRecord]:
        file = self.origin.files[part]
        path, limit = self.folder / "file.gz", idx.gzip_limit(shape)
        zip_checksum = None
        if place.member:
            zipped, zip_checksum = self._zip(place.location)
            is_table = place.member.lower().endswith((".csv", ".csv.gz", ".npz"))
            limit = LARGEST_MEMBER if is_table else limit
            extract(zipped, place.member, path, limit)
        else:
            path = self._obtain(place.location, path, limit)
        array, checksum = forms.read(path, part, shape)
        record = FileRecord(
            name=file.name,
            bytes=idx.content_size(shape),
            sha256=checksum,
            verified=self._verify(file, checksum, path, zip_checksum, place.own),
        )
        return array, record

    def _zip(self, location: str) -> tuple[Path, str]:
        """The zip at a location and its SHA-256; each is downloaded once."""
        if location not in self.zips:
            target = self.folder / f"archive-{len(self.zips)}.zip"
            limit = self.origin.archive.size if self.origin.archive else 0
            path = self._obtain(location, target, limit)  # a user's zip is not limited
            self.zips[location] = (path, sha256_of(path))
        return self.zips[location]

    def _obtain(self, location: str, target: Path, limit: int) -> Path:
        """The file at a location: on this machine, or downloaded to `target`."""
        if is_url(location):
            self.download(location, target, limit)
            return target
        path = Path(location)
        if not path.is_file():
            missing = not path.exists()
            raise DatasetError("no such file" if missing else "found no regular file")
        if not os.access(path, os.R_OK):
            raise DatasetError("cannot be read (Permission denied)")
        return path

    def _verify(
        self,
        file: IdxFile,
        content: str,
        path: Path,
        zip_checksum: str | None,
        own: bool,
    ) -> str:
        """Which checksum proves the file; DatasetError where none of the known does.

        A user's own file is unverified where no checksum of its content is known.
        """
        archive = self.origin.archive if zip_checksum else None
        failures = []
        for kind, what, found, expected in [
            ("sha256", "content", content, file.sha256),
            ("gzip-sha256", "gzip file", sha256_of(path), file.gzip_sha256),
            ("archive-sha256", "zip", zip_checksum, archive and archive.sha256),
        ]:
            if expected and found == expected:
                return kind
            if expected:
                failures.append(f"SHA-256 of the {what} {found}, expected {expected}")
        if own and not file.sha256:
            return "unverified"
        raise DatasetError(f"found other bytes than published: {'; '.join(failures)}")


def extract(archive: Path, member: str, target: Path, limit: int) -> None:
    """Write one member of a zip to `target`, at most `limit` bytes.

    No other name in the zip counts. Raises DatasetError where the zip is damaged or has
    no such member.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if member not in opened.namelist():
                raise DatasetError(
                    f"found a zip of {len(opened.namelist())} members without {member}"
                )
            info = opened.getinfo(member)
            if info.file_size > limit:  # more is never unpacked than the zip says
                raise DatasetError(f"found more than the {limit} bytes expected")
            with opened.open(info) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    except DatasetError:
        raise
    except Exception as error:  # zipfile has no class for all that damage does to it
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise  # the fault of this disk, not of the zip
        raise DatasetError(
            f"found a damaged zip ({error}), expected one that holds {member}"
        ) from None
