"""A dataset of the user's own: two files, whose sizes and range are found by reading
them."""

import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from comvae.datasets import forms
from comvae.datasets.source import SPLITS, DatasetSource, Facts, Own, OwnFiles
from comvae.errors import DatasetError
from comvae.files import sha256_of


@functools.cache
def own_source(name: str, files: OwnFiles) -> DatasetSource:
    """What a registry entry would say of the dataset `name`, read from its files.

    Raises DatasetError as `read` does.
    """
    facts, _, _ = read(name, files)
    sha256 = {split: sha256_of(path) for split, path in files.paths.items()}
    origin = Own(**files.model_dump(), sha256=sha256)
    return DatasetSource(**facts.model_dump(), origin=origin)


def read(name: str, files: OwnFiles) -> tuple[Facts, dict[str, np.ndarray], list[str]]:
    """What the dataset is, the uint8 array of each of PARTS, and what was changed.

    Raises DatasetError that names the file where it cannot be read, or does not hold
    images of the sides of the other file's, pixels in 0..255 or 0..1, and labels in
    0..255 or none.
    """
    images, arrays, changes = {}, {}, []
    for split, path in files.paths.items():
        with _naming(name, path):
            if not (path.is_file() and os.access(path, os.R_OK)):
                raise DatasetError("found no file that can be read, expected one")
            images[split] = _with_sides(forms.read_any(path, f"{split}-images"))
            labels = forms.read_any(path, f"{split}-labels")
            if labels is None:
                changes.append(f"{split}: no labels, stored as 0")
                labels = np.zeros(len(images[split]), np.uint8)
            if labels.shape != images[split].shape[:1]:
                raise DatasetError(
                    f"found labels of shape {labels.shape}, expected one for each of "
                    f"{len(images[split])} images"
                )
            arrays[f"{split}-labels"] = forms.as_bytes(labels)
    train, test = (images[split].shape[1:] for split in SPLITS)
    if train != test:
        raise DatasetError(
            f"{name}: found images of {train[0]} x {train[1]} in {files.train} and of "
            f"{test[0]} x {test[1]} in {files.test}, expected the same sides"
        )
    unit = all(array.min() >= 0 and array.max() <= 1 for array in images.values())
    whole = all((array == np.floor(array)).all() for array in images.values())
    if unit and not whole:
        images = {split: np.round(array * 255) for split, array in images.items()}
        changes.append("pixels 0..1 stored as 0..255, rounded")
    for split, path in files.paths.items():
        with _naming(name, path):
            arrays[f"{split}-images"] = forms.as_bytes(images[split])
    facts = Facts(
        title=name,
        counts={split: len(array) for split, array in images.items()},
        height=train[0],
        width=train[1],
        classes=1 + max(int(arrays[f"{split}-labels"].max()) for split in SPLITS),
        pixel_max=1 if unit and whole else 255,
    )
    return facts, arrays, changes


def _with_sides(images: np.ndarray) -> np.ndarray:
    """Images of the shape (images, height, width); of so many pixels, if square."""
    if images.ndim == 2 and math.isqrt(images.shape[1]) ** 2 == images.shape[1]:
        return images.reshape(len(images), *[math.isqrt(images.shape[1])] * 2)
    if images.ndim == 3:
        return images
    raise DatasetError(
        f"found images of shape {images.shape}, expected (images, height, width), a "
        "square number of pixels, or a CSV whose header names its last pixel "
        "HEIGHTxWIDTH"
    )


@contextmanager
def _naming(name: str, path: Path) -> Iterator[None]:
    """Errors inside name the dataset and the file."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{name}: {path}: {error}") from None
