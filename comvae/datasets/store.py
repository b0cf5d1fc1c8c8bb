"""The folder of a fetched dataset: four .npy files, and dataset.json written last."""

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from comvae.datasets.source import PARTS, Facts, Part, Sha256, Split
from comvae.errors import DatasetError
from comvae.files import replacing, write_text
from comvae.model.settings import Positive, Settings

RECORD = "dataset.json"


class FileRecord(Settings):
    """A published file that an array was made from, and how it was verified."""

    name: str
    bytes: Positive = Field(description="Size of the content, as IDX.")
    sha256: Sha256 = Field(description="Of the content, as IDX.")
    verified: Literal["sha256", "gzip-sha256", "archive-sha256", "unverified"] = Field(
        description="What proves it: the known checksum of the content, of the gzipped "
        "file, or of the zip that it came in; `unverified` where none of these is "
        "known of a user's file, but shape, counts and range are right."
    )


class DatasetRecord(Facts):
    """What dataset.json says of the arrays beside it."""

    name: str
    checksum: str = Field(
        "", description="Of the registry's entry that the data was verified with."
    )
    source: dict[Part, str] = Field(description="Where each file came from.")
    files: dict[Part, FileRecord]
    mean_intensity: dict[Split, float] = Field(description="Mean pixel, in [0, 1].")
    changes: list[str] = Field(description="What was done to the published data.")
    arrays: dict[Part, Sha256] = Field(
        min_length=len(PARTS), description="SHA-256 of each array's bytes."
    )


def read_record(directory: Path) -> DatasetRecord:
    """The record of the dataset in `directory`; DatasetError where it is not whole."""
    path = directory / RECORD
    try:
        return DatasetRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in first["loc"]) or "the file"
        found = f"{where}: {first['msg']}"
    raise DatasetError(
        f"{path}: {found}. Expected the record of a fetched dataset. "
        f"{_fetch_again(directory)}"
    )


def read_array(directory: Path, record: DatasetRecord, part: str) -> np.ndarray:
    """The uint8 array of one of PARTS, verified; DatasetError where it is damaged."""
    path, shape = directory / f"{part}.npy", record.shape(part)
    try:
        array = _load(path, shape)
        if array is not None and sha256_of(array) == record.arrays[part]:
            return array
        other = "other bytes" if array is not None else "a file of another size or type"
        found = f"found {other}"
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
    raise DatasetError(
        f"{path}: {found}. Expected the .npy file of uint8 {shape} with SHA-256 "
        f"{record.arrays[part]}, as {RECORD} says. "
        f"{_fetch_again(directory, record.name)}"
    )


def sha256_of(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an array, in C order.

    Piece by piece: the largest dataset is half a gigabyte, and a view.
    """
    digest = hashlib.sha256()
    for start in range(0, len(array), 4096):
        digest.update(np.ascontiguousarray(array[start : start + 4096]))
    return digest.hexdigest()


def publish(
    directory: Path, record: DatasetRecord, arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write the arrays into `directory` and, last of all, their record.

    Every file appears whole or not at all. Jobs that publish the same dataset at once
    write the same bytes, so that the record is true of any mixture of their files.
    """
    for part in PARTS:
        with replacing(directory / f"{part}.npy") as path:
            np.save(path, arrays[part])
    write_text(directory / RECORD, record.model_dump_json(indent=2) + "\n")
    return directory / RECORD


def _load(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The uint8 array of this shape in a .npy file; None where it is anything else.

    Never believes the file: NumPy's own reader makes room for whatever a damaged
    header asks for, and fails on some in ways that it does not document.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    expected = header.getvalue()
    with path.open("rb") as file:
        if path.stat().st_size != len(expected) + math.prod(shape):
            return None
        if file.read(len(expected)) != expected:
            return None
        return np.fromfile(file, np.uint8).reshape(shape)


def _fetch_again(directory: Path, name: str = "DATASET") -> str:
    return f"Fetch it again: comvae fetch {name} --output {directory}"
