"""Where the files of a dataset are looked for, and in which order."""

import logging
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from comvae.datasets.download import is_url, shown
from comvae.datasets.source import IdxFile, IdxFiles
from comvae.errors import DatasetError

log = logging.getLogger("comvae")

ENVIRONMENT = "COMVAE_MIRROR"
DEPTH = 3  # folders below a mirror that are searched: MNIST/raw is 2
MOST_ENTRIES = 20_000  # of a mirror


@dataclass(frozen=True)
class Place:
    """One place of a file: a path or URL, of the file or of a zip that holds it."""

    location: str
    member: str = ""  # inside the zip
    own: bool = False  # the user's file, which may have other bytes than published

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
    """Every place of one file, mirrors before publishers, loose before zipped.

    In a mirror that is a folder, files of other names and forms follow the published
    ones.
    """
    archive = origin.archive
    member = f"{archive.folder}/{file.name}" if archive else ""
    for base in bases:
        own = not is_url(base)
        published = [Place(_join(base, origin.folder, file.name), own=own)]
        if archive:
            published += [
                Place(_join(base, origin.folder, member), own=own),
                Place(_join(base, origin.folder, archive.name), member, own=own),
            ]
        yield from published
        if own:
            others = set(published)
            yield from (p for p in _lying(Path(base), origin, file) if p not in others)
    for folder in origin.installed:
        yield Place(_join(folder, file.name), own=True)
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
        f"{ENVIRONMENT}=MIRROR and run again. Files of other forms are found below "
        "MIRROR too: IDX without gzip, npz, CSV with labels, zip (docs/data.md)."
    )


def _lying(base: Path, origin: IdxFiles, file: IdxFile) -> Iterator[Place]:
    """The files in a mirror that may hold `file` by their names, loose or in a zip.

    Those below a folder named like the dataset come first.
    """
    paths = list(_files(base))
    folder = _plain(origin.folder)
    for path in sorted(paths, key=lambda p: (folder not in map(_plain, p.parts), p)):
        if path.suffix.lower() == ".zip":
            for name in _members(path):
                if _may_hold(name, file):
                    yield Place(str(path), name, own=True)
        elif _may_hold(path.name, file):
            yield Place(str(path), own=True)


def _files(base: Path) -> Iterator[Path]:
    """The files in a mirror, not too deep, and not in hidden folders."""
    entries = 0
    for folder, folders, names in os.walk(base, followlinks=True):
        entries += len(names) + len(folders)
        if entries > MOST_ENTRIES:
            log.warning("%s: only %d entries are looked at", base, MOST_ENTRIES)
            return
        deep = len(Path(folder).relative_to(base).parts) >= DEPTH
        folders[:] = [] if deep else sorted(f for f in folders if f[0] != ".")
        yield from (Path(folder, name) for name in names)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.namelist()
    except Exception:  # damaged, as zipfile says in many ways: it holds nothing
        return []


def _may_hold(path: str, file: IdxFile) -> bool:
    """Whether a file of this name may hold `file`, in any form: a npz holds all parts,
    a CSV a split."""
    name = path.rsplit("/", 1)[-1].lower()
    prefix, split = re.match(r"(.*?)(train|test|t10k)", file.name).groups()
    if name.endswith(".npz"):
        return _plain(prefix) in _plain(name)
    if name.endswith((".csv", ".csv.gz")):
        words = ("train",) if split == "train" else ("test", "t10k")
        return _plain(prefix) in _plain(name) and any(word in name for word in words)
    return _plain(name.replace(".gz", "")) == _plain(file.name.replace(".gz", ""))


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


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
