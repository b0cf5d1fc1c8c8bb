"""The folder of a fetched dataset: four .npy files, and dataset.json written last."""

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Literal
from uuid import uuid4

import numpy as np
from pydantic import Field, ValidationError

from comvae.datasets.source import PARTS, SPLITS, part_shape
from comvae.errors import DatasetError
from comvae.model.settings import Settings

RECORD = "dataset.json"
Count = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Split = Literal["train", "test"]
Verified = Literal["sha256", "gzip-sha256", "archive-sha256", "structure"]
Part = Literal["train-images", "train-labels", "test-images", "test-labels"]


class FileRecord(Settings):
    """A published file that an array was made from, and how it was verified."""

    name: str
    bytes: Count = Field(description="Size of the decompressed content.")
    sha256: Sha256 = Field(description="Of the decompressed content.")
    verified: Verified = Field(
        description="What proves it: the known checksum of the content, of the gzipped "
        "file, or of the zip that it came in; `structure`: no checksum is known, but "
        "header, counts and label range are right."
    )


class DatasetRecord(Settings):
    """What dataset.json says of the arrays beside it."""

    name: str
    title: str
    source: dict[Part, str] = Field(description="Where each file came from.")
    files: dict[Part, FileRecord]
    counts: dict[Split, Count]
    height: Count
    width: Count
    classes: Count
    pixel_max: Annotated[int, Field(ge=1, le=255)]
    mean_intensity: dict[Split, float] = Field(description="Mean pixel, in [0, 1].")
    changes: list[str] = Field(description="What was done to the published data.")
    arrays: dict[Part, Sha256] = Field(description="SHA-256 of each array's bytes.")

    def shape(self, part: str) -> tuple[int, ...]:
        """Shape of the array of one of PARTS."""
        return part_shape(part, self.counts, self.height, self.width)


def read_record(directory: Path) -> DatasetRecord:
    """The record of the dataset in `directory`; DatasetError where it is not whole."""
    path = directory / RECORD
    try:
        record = DatasetRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}). Expected the record of a "
            f"fetched dataset. {_fetch_again(directory)}"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in first["loc"]) or "the file"
        raise DatasetError(
            f"{path}: {where}: {first['msg']}. Expected the record of a fetched "
            f"dataset. {_fetch_again(directory)}"
        ) from None
    for key, expected in (("counts", SPLITS), ("arrays", PARTS)):
        found = getattr(record, key)
        if set(found) != set(expected):
            raise DatasetError(
                f"{path}: {key}: found {sorted(found)}, expected {sorted(expected)}. "
                f"{_fetch_again(directory)}"
            )
    return record


def read_array(directory: Path, record: DatasetRecord, part: str) -> np.ndarray:
    """The uint8 array of one of PARTS, verified; DatasetError where it is damaged."""
    path, shape = array_path(directory, part), record.shape(part)
    try:
        array = _load(path, shape)
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
    else:
        if array is not None and sha256_of(array) == record.arrays[part]:
            return array
        found = "other bytes" if array is not None else "a file of another size or type"
        found = f"found {found}"
    raise DatasetError(
        f"{path}: {found}. Expected the .npy file of uint8 {shape} with SHA-256 "
        f"{record.arrays[part]}, as {RECORD} says. "
        f"{_fetch_again(directory, record.name)}"
    )


def array_path(directory: Path, part: str) -> Path:
    """The file of the array of one of PARTS."""
    return directory / f"{part}.npy"


def sha256_of(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an array, in C order."""
    digest = hashlib.sha256()
    for chunk in _chunks(array):
        digest.update(chunk)
    return digest.hexdigest()


def publish(
    directory: Path, record: DatasetRecord, arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write the arrays into `directory` and, last of all, their record.

    Every file appears whole or not at all. Jobs that publish the same dataset at once
    write the same bytes, so that the record is true of any mixture of their files.
    """
    for part in PARTS:
        _replace(array_path(directory, part), lambda f, p=part: _save(f, arrays[p]))
    text = record.model_dump_json(indent=2) + "\n"
    _replace(directory / RECORD, lambda file: file.write(text.encode()))
    return directory / RECORD


def _save(file: BinaryIO, array: np.ndarray) -> None:
    file.write(_header(array.shape))
    for chunk in _chunks(array):
        file.write(chunk)


def _load(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The uint8 array of this shape in a .npy file; None where it is anything else.

    Never believes the file: NumPy's own reader makes room for whatever a damaged
    header asks for, and fails on some in ways that it does not document.
    """
    expected = _header(shape)
    size = math.prod(shape)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != len(expected) + size:
            return None
        if file.read(len(expected)) != expected:
            return None
        return np.fromfile(file, np.uint8).reshape(shape)


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _chunks(array: np.ndarray, images: int = 4096) -> Iterator[np.ndarray]:
    """The array in C order, piece by piece: the largest dataset is half a gigabyte."""
    for start in range(0, len(array), images):
        yield np.ascontiguousarray(array[start : start + images])


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside `path`, then put it in its place."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch_again(directory: Path, name: str = "DATASET") -> str:
    return f"Fetch it again: comvae fetch {name} --output {directory}"
