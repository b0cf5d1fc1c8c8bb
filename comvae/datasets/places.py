"""Where the files of a dataset are looked for, and in which order."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from comvae.datasets.download import is_url, shown
from comvae.datasets.source import IdxFile, IdxFiles
from comvae.errors import DatasetError

ENVIRONMENT = "COMVAE_MIRROR"


@dataclass(frozen=True)
class Place:
    """One place of a file: a path or URL, of the file or of a zip that holds it."""

    location: str
    member: str = ""  # inside the zip

    def __str__(self) -> str:
        inside = f" ({self.member})" if self.member else ""
        return shown(self.location) + inside


def mirrors(mirror: str | None) -> list[str]:
    """The mirrors that the user names: COMVAE_MIRROR first, then `mirror`.

    Raises DatasetError where one is neither a folder nor an http(s) URL.
    """
    named = {
        f"the environment variable {ENVIRONMENT}": os.environ.get(ENVIRONMENT),
        "the setting `datasets.mirror`": mirror,
    }
    bases = []
    for what, base in named.items():
        if not base:
            continue
        base = base if is_url(base) else str(Path(base).expanduser())
        if not (_has_host(base) if is_url(base) else Path(base).is_dir()):
            raise DatasetError(
                f"{what}: found {shown(base)!r}, expected a folder that exists or an "
                "http(s) URL. Correct it, or unset it to ask the publishers alone."
            )
        bases.append(base)
    return list(dict.fromkeys(bases))


def places(origin: IdxFiles, file: IdxFile, bases: list[str]) -> Iterator[Place]:
    """Every place of one file, mirrors before publishers, loose before zipped."""
    archive = origin.archive
    member = f"{archive.folder}/{file.name}" if archive else ""
    for base in bases:
        yield Place(_join(base, origin.folder, file.name))
        if archive:
            yield Place(_join(base, origin.folder, member))
            yield Place(_join(base, origin.folder, archive.name), member)
    for publisher in origin.publishers:
        yield Place(_join(publisher, file.name))
    if archive:
        for url in archive.urls:
            yield Place(url, member)


def by_hand(origin: IdxFiles, file: IdxFile) -> str:
    """How a user places one file without a network."""
    wanted = f"MIRROR/{origin.folder}/{file.name}"
    if origin.archive:
        wanted += f", or the whole MIRROR/{origin.folder}/{origin.archive.name}"
    urls = [*origin.publishers, *(origin.archive.urls if origin.archive else [])]
    published = f" (published at {', '.join(urls)})" if urls else ""
    return (
        "Get it, and the other files of the dataset, on another machine"
        f"{published}, put it at {wanted} in a folder MIRROR of your choice, set "
        f"{ENVIRONMENT}=MIRROR and run again."
    )


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _join(base: str, *parts: str) -> str:
    if is_url(base):
        return "/".join([base.rstrip("/"), *parts])
    return str(Path(base, *parts))
