"""Find one file of a dataset: try every place in order, take the first that is right.

A file is right if its IDX header, shape and length are, and if one of its known
checksums is: that of the content, of the gzipped file as published, or of the zip
that it came in. Where checksums are known and none of them fits, the file is refused,
even if its structure is right: nobody could tell it from altered data. So a
recompressed copy passes where the checksum of the content is known, and is refused
where only that of the published gzip file is (EMNIST). Where no checksum is known at
all, structure and counts decide, and the record says so.
"""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from comvae.datasets import idx
from comvae.datasets.archive import extract
from comvae.datasets.download import Downloader, is_url
from comvae.datasets.places import Place, by_hand, places
from comvae.datasets.source import IdxFile, IdxFiles
from comvae.datasets.store import FileRecord
from comvae.errors import DatasetError

log = logging.getLogger("comvae")


@dataclass(frozen=True)
class Found:
    """A file that was found and verified; `content` is the unpacked IDX file."""

    content: np.ndarray
    place: Place
    record: FileRecord


@dataclass
class Finder:
    """Looks for the files of one dataset, with a folder for what it unpacks."""

    origin: IdxFiles
    bases: list[str]  # mirrors
    folder: Path
    download: Downloader
    zips: dict[str, Path] = field(default_factory=dict)  # downloaded, by URL
    zip_checksums: dict[Path, str] = field(default_factory=dict)

    def find(self, part: str, shape: tuple[int, ...]) -> Found:
        """The file of one part from the first place that has it right.

        Raises DatasetError that says of every place why not.
        """
        file = self.origin.files[part]
        failures = []
        for place in places(self.origin, file, self.bases):
            try:
                return self._take(place, file, shape, self.folder / part)
            except DatasetError as error:
                log.info("%s: %s", place, error)
                failures.append(f"\n  {place}: {error}")
        raise DatasetError(
            f"{self.origin.folder}/{file.name}: not found as it should be. Looked at:"
            + "".join(failures)
            + f"\n{by_hand(self.origin, file)}"
        )

    def _take(
        self, place: Place, file: IdxFile, shape: tuple[int, ...], content: Path
    ) -> Found:
        gzipped = content.with_suffix(".gz")
        try:
            path, zipped = self._obtain(place, gzipped, idx.gzip_limit(shape))
            checksum = idx.unpack(path, content, shape)
            verified = self._verify(place, file, checksum, path, zipped)
        finally:
            gzipped.unlink(missing_ok=True)
        record = FileRecord(
            name=file.name,
            bytes=idx.content_size(shape),
            sha256=checksum,
            verified=verified,
        )
        log.info("%s: verified (%s)", place, verified)
        return Found(idx.read(content, shape), place, record)

    def _obtain(
        self, place: Place, gzipped: Path, limit: int
    ) -> tuple[Path, Path | None]:
        """The gzipped file on this machine, and the zip that it came in, if any."""
        if place.archive is None:
            if is_url(place.location):
                self.download(place.location, gzipped, limit)
                return gzipped, None
            return _local(place.location), None
        zipped = self._zip(place)
        extract(zipped, place.member, gzipped, limit)
        return gzipped, zipped

    def _zip(self, place: Place) -> Path:
        url = place.location
        if not is_url(url):
            return _local(url)
        if url not in self.zips:
            path = self.folder / f"archive-{len(self.zips)}.zip"
            self.download(url, path, place.archive.size)
            self.zips[url] = path
        return self.zips[url]

    def _verify(
        self, place: Place, file: IdxFile, checksum: str, path: Path, zipped: Path
    ) -> str:
        """Which checksum proves the file; DatasetError where none of the known does."""
        failures = []
        if file.sha256:
            if checksum == file.sha256:
                return "sha256"
            failures.append(_differs("content", checksum, file.sha256))
        if file.gzip_sha256:
            found = _sha256_of_file(path)
            if found == file.gzip_sha256:
                return "gzip-sha256"
            failures.append(_differs("gzip file", found, file.gzip_sha256))
        if place.archive:
            if zipped not in self.zip_checksums:
                self.zip_checksums[zipped] = _sha256_of_file(zipped)
            found = self.zip_checksums[zipped]
            if found == place.archive.sha256:
                return "archive-sha256"
            failures.append(_differs("zip", found, place.archive.sha256))
        if failures:
            raise DatasetError(
                f"found other bytes than published: {'; '.join(failures)}"
            )
        return "structure"


def _differs(what: str, found: str, expected: str) -> str:
    return f"SHA-256 of the {what} {found}, expected {expected}"


def _local(location: str) -> Path:
    path = Path(location)
    if not path.exists():
        raise DatasetError("no such file")
    if not path.is_file():
        raise DatasetError("found no regular file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})") from None
    return path


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
