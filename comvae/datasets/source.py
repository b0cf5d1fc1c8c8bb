"""What a registry entry says about a dataset."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from comvae.errors import SettingsError
from comvae.model.settings import Positive, Settings

SPLITS = ("train", "test")
PARTS = ("train-images", "train-labels", "test-images", "test-labels")
Split = Literal["train", "test"]
Part = Literal["train-images", "train-labels", "test-images", "test-labels"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class IdxFile(Settings):
    """One gzipped IDX file, and the checksum that its publisher's copy has.

    `sha256` is of the decompressed content, so that a recompressed copy passes.
    `gzip_sha256` is of the file as published, for files whose content checksum nobody
    has published: other files in a mirror, such as unpacked ones, then pass by shape,
    counts and range alone, as unverified.
    """

    name: str
    sha256: Sha256 | None = None
    gzip_sha256: Sha256 | None = None


class Archive(Settings):
    """A zip that holds the IDX files of a dataset, among others."""

    name: str
    urls: list[str]
    folder: str  # of the members, inside the zip
    size: int  # bytes; a larger file is not downloaded to its end
    sha256: Sha256


class IdxFiles(Settings):
    """A dataset that is published as four gzipped IDX files, loose or in a zip."""

    folder: str  # below the base of a mirror
    files: dict[Part, IdxFile]
    publishers: list[str] = Field([])  # https base URLs of the loose files, in order
    installed: list[str] = Field([])  # folders where a system's package puts them
    archive: Archive | None = None

    def checksums(self) -> dict[str, str | None]:
        """What proves each part: of its content, of its file, or of the zip."""
        whole = self.archive.sha256 if self.archive else None
        return {
            part: file.sha256 or file.gzip_sha256 or whole
            for part, file in self.files.items()
        }


class Bundled(Settings):
    """A dataset that an installed package carries."""

    package: str
    reader: str  # "module:function", which returns the array of each of PARTS
    changes: list[str]  # what the reader does to the packaged data, in words
    sha256: dict[Part, Sha256]  # of the bytes of each array

    def checksums(self) -> dict[str, str]:
        """What proves each part."""
        return dict(self.sha256)


class OwnFiles(Settings):
    """The two files of a dataset of the user's own."""

    train: str = Field(description="Path of an IDX, npz or CSV file; docs/data.md.")
    test: str = Field(description="Path of the other split; the same npz may be both.")

    @property
    def paths(self) -> dict[str, Path]:
        """The path of the file of each split."""
        return {
            "train": Path(self.train).expanduser(),
            "test": Path(self.test).expanduser(),
        }


class Own(OwnFiles):
    """A dataset of the user's own, as its files are now."""

    sha256: dict[Split, Sha256]  # of the files

    def checksums(self) -> dict[str, str]:
        """What proves each split."""
        return dict(self.sha256)


class Facts(Settings):
    """What a dataset is: its registry entry says it, and dataset.json repeats it."""

    title: str
    counts: dict[Split, Positive] = Field(min_length=2)
    height: Positive  # pixels
    width: Positive
    classes: Positive
    pixel_max: Annotated[int, Field(ge=1, le=255)] = 255  # of a white pixel

    def shape(self, part: str) -> tuple[int, ...]:
        """Shape of the array of one of PARTS."""
        split, content = part.split("-")
        sides = (self.height, self.width) if content == "images" else ()
        return (self.counts[split], *sides)

    def pooled(self, name: str, pool: int) -> Self:
        """What the dataset `name` is with pool x pool pixels averaged to one, as their
        sum of whole numbers; SettingsError where that does not divide its sides."""
        if self.height % pool or self.width % pool:
            raise SettingsError(
                f"datasets.pool: found {pool}, which does not divide the sides of "
                f"`{name}`, {self.height} x {self.width} pixels; expected a divisor of "
                "both, or 1 for images as they are"
            )
        sides = {"height": self.height // pool, "width": self.width // pool}
        most = self.pixel_max * pool**2
        return self.model_copy(update={**sides, "pixel_max": most})


class DatasetSource(Facts):
    """One dataset: what it is, where it comes from, and what must be in it."""

    origin: IdxFiles | Bundled | Own
    transposed: bool = False  # published with rows and columns exchanged
    first_label: int = 0  # as published; stored labels count from 0

    @property
    def checksum(self) -> str:
        """SHA-256 over what proves each part and what is done to it: other data has
        another one."""
        known = [self.origin.checksums(), self.transposed, self.first_label]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def published_shape(self, part: str) -> tuple[int, ...]:
        """Shape of the array of one of PARTS in its published file."""
        count, *sides = self.shape(part)
        return (count, *reversed(sides)) if self.transposed else (count, *sides)
