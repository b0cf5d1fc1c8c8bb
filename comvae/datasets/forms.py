"""Read images and labels in every form that people have them in, told by content.

A form is IDX, npz (`x_train`, `y_train`, ... or `x`, `y`) or CSV with a column of
labels; IDX and CSV may be gzipped, and twice.
"""

import re
from pathlib import Path

import numpy as np

from comvae.datasets import idx
from comvae.errors import DatasetError

CSV_START = re.compile(rb"""["\w.+-]+\s*,[\s"\w.,+-]*""")
SIDES = re.compile(r"(\d+)x(\d+)")  # names the last pixel in some headers: 28x28


def read(path: Path, part: str, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The uint8 array of one of PARTS in a file of any form, and the SHA-256 that its
    content has as IDX.

    Raises DatasetError where the file does not hold unsigned bytes of this shape.
    """
    if _form(path) is _read_idx:
        return idx.read(path, shape)
    array = read_any(path, part)
    if array is None:
        raise DatasetError(f"found no {part}, expected them too")
    if array.shape not in (shape, (shape[0], int(np.prod(shape[1:])))):
        raise DatasetError(f"found {_sizes(array.shape)}, expected {_sizes(shape)}")
    array = as_bytes(array).reshape(shape)
    return array, idx.checksum(array)


def read_any(path: Path, part: str) -> np.ndarray | None:
    """The array of one of PARTS in a file of any form; None where it has no labels.

    Labels have the shape (images,), and images (images, height, width) or, where the
    file does not tell their sides, (images, pixels). Raises DatasetError.
    """
    try:
        array = _form(path)(path, part)
    except DatasetError:
        raise
    except Exception as error:  # no class names all that damage does to a reader
        raise DatasetError(
            f"found a damaged file ({error}), expected {part} in IDX, npz or CSV"
        ) from None
    if array is not None and (array.dtype.kind not in "buif" or array.size == 0):
        raise DatasetError(
            f"found {part} of type {array.dtype} and size {array.size}, "
            "expected numbers"
        )
    return array


def as_bytes(array: np.ndarray) -> np.ndarray:
    """The array as uint8; DatasetError where it has other than whole numbers 0..255."""
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255 and (array == np.floor(array)).all()):
        raise DatasetError(
            f"found numbers from {low:g} to {high:g}, expected whole numbers 0 to 255, "
            "or for pixels of a dataset of your own 0 to 1"
        )
    return array.astype(np.uint8)


def _form(path: Path):
    """The reader of the form that the start of the file tells."""
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return _read_npz
    return _read_csv if CSV_START.match(idx.start_of(path)) else _read_idx


def _read_idx(path: Path, part: str) -> np.ndarray | None:
    """IDX holds images or labels: labels beside images of the same file are unknown."""
    shape = idx.shape_of(path)
    if part.endswith("labels") and len(shape) != 1:
        return None
    return idx.read(path, shape)[0]


def _read_npz(path: Path, part: str) -> np.ndarray | None:
    split, content = part.split("-")
    letter = "x" if content == "images" else "y"
    with np.load(path, allow_pickle=False) as arrays:
        for key in (f"{letter}_{split}", letter):
            if key in arrays:
                array = arrays[key]
                if array.ndim == (4 if letter == "x" else 2) and array.shape[-1] == 1:
                    array = array[..., 0]
                return array
        if letter == "y":
            return None
        raise DatasetError(
            f"found a zip of {', '.join(list(arrays)[:9])}; expected x_{split} or x"
        )


def _read_csv(path: Path, part: str) -> np.ndarray:
    import pandas as pd

    with idx.unpacked(path) as file:
        cells = [cell.strip(' "') for cell in file.readline().decode().split(",")]
        cells[-1] = cells[-1].strip('\r\n "')
        file.seek(0)
        header = not all(re.fullmatch(r"[\d.eE+-]+", cell) for cell in cells)
        label = cells.index("label") if "label" in cells else 0
        pixels = [index for index in range(len(cells)) if index != label]
        table = pd.read_csv(
            file,
            header=0 if header else None,
            usecols=pixels if part.endswith("images") else [label],
            dtype=np.float32,
        ).to_numpy()
    if part.endswith("labels"):
        return table[:, 0]
    sides = SIDES.fullmatch(cells[pixels[-1]])
    if sides and int(sides[1]) * int(sides[2]) == len(pixels):
        return table.reshape(-1, int(sides[1]), int(sides[2]))
    return table


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
