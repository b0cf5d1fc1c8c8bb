"""What a registry entry says about a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPLITS = ("train", "test")
PARTS = ("train-images", "train-labels", "test-images", "test-labels")


@dataclass(frozen=True)
class IdxFile:
    """One gzipped IDX file, and the checksum that its publisher's copy has.

    `sha256` is of the decompressed content, so that a recompressed copy passes.
    `gzip_sha256` is of the file as published, for files whose content checksum nobody
    has published. A file without either is refused.
    """

    name: str
    sha256: str | None = None
    gzip_sha256: str | None = None


@dataclass(frozen=True)
class Archive:
    """A zip that holds the IDX files of a dataset, among others."""

    name: str
    urls: tuple[str, ...]
    folder: str  # of the members, inside the zip
    size: int  # bytes; a larger file is not downloaded to its end
    sha256: str


@dataclass(frozen=True)
class IdxFiles:
    """A dataset that is published as four gzipped IDX files, loose or in a zip."""

    folder: str  # below the base of a mirror
    files: Mapping[str, IdxFile]  # one for each of PARTS
    publishers: tuple[str, ...] = ()  # https base URLs of the loose files, in order
    archive: Archive | None = None


@dataclass(frozen=True)
class Bundled:
    """A dataset that an installed package carries."""

    package: str
    reader: str  # "module:function", which returns the array of each of PARTS
    changes: tuple[str, ...]  # what the reader does to the packaged data, in words
    sha256: Mapping[str, str]  # of the bytes of each array


@dataclass(frozen=True)
class DatasetSource:
    """One dataset: what it is, where it comes from, and what must be in it."""

    title: str
    origin: IdxFiles | Bundled
    train: int  # images
    test: int
    height: int  # pixels
    width: int
    classes: int
    pixel_max: int = 255  # the value of a white pixel
    transposed: bool = False  # published with rows and columns exchanged
    first_label: int = 0  # as published; stored labels count from 0

    @property
    def facts(self) -> dict[str, Any]:
        """What dataset.json repeats of this entry."""
        keys = ("title", "height", "width", "classes", "pixel_max")
        counts = {"train": self.train, "test": self.test}
        return {key: getattr(self, key) for key in keys} | {"counts": counts}

    def shape(self, part: str) -> tuple[int, ...]:
        """Shape of the array of one of PARTS."""
        return part_shape(part, self.facts["counts"], self.height, self.width)

    def published_shape(self, part: str) -> tuple[int, ...]:
        """Shape of the array of one of PARTS in its published file."""
        count, *sides = self.shape(part)
        return (count, *reversed(sides)) if self.transposed else (count, *sides)


def part_shape(
    part: str, counts: Mapping[str, int], height: int, width: int
) -> tuple[int, ...]:
    """Shape of the array of one of PARTS in a dataset of these sizes."""
    split, content = part.split("-")
    return (counts[split], height, width) if content == "images" else (counts[split],)
