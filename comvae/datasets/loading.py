"""Load a fetched dataset: whole pixels, converted to float on the device."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from comvae.datasets.options import DataOptions
from comvae.datasets.source import SPLITS
from comvae.datasets.store import read_array, read_record


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of a dataset; `train` and `test` are (images, height*width), whole
    numbers from 0 to `pixel_max`: uint8, and int16 where pixels are pooled.

    Where `grey` is there, training draws binary images from those in it, anew in each
    epoch; `train` is a fixed draw, for evaluation.
    """

    name: str
    train: Tensor
    test: Tensor
    pixel_max: int
    height: int
    width: int
    grey: "Dataset | None" = None

    def to_float(self, batch: Tensor) -> Tensor:
        """Pixels of any shape as float32 in [0, 1], on the device of `batch`."""
        return batch.to(torch.float32) / self.pixel_max


def load(directory: Path, options: DataOptions | None = None) -> Dataset:
    """The dataset in the folder `directory`, as `comvae fetch` writes it.

    Every array is checked against dataset.json and held once, in memory of its own:
    a job on a network file system outlives the removal of the files. Raises
    DatasetError where a file is missing or damaged.
    """
    directory, options = Path(directory), options or DataOptions()
    record = read_record(directory)
    facts = record.pooled(record.name, options.pool)
    images = {}
    for split in SPLITS:
        array = pool(read_array(directory, record, f"{split}-images"), options.pool)
        images[split] = array.reshape(len(array), -1)
    sides = {"height": facts.height, "width": facts.width}
    grey = Dataset(record.name, **_tensors(images), pixel_max=facts.pixel_max, **sides)
    if options.binarize == "none":
        return grey
    binary = _tensors(
        {
            split: binarize(array, facts.pixel_max, options, split)
            for split, array in images.items()
        }
    )
    redrawn = grey if options.binarize == "dynamic" else None
    return replace(grey, **binary, pixel_max=1, grey=redrawn)


def pool(images: np.ndarray, side: int) -> np.ndarray:
    """The sums over squares of side x side pixels, int16 (images, height / side, width
    / side): exact, and their means once divided by the new `pixel_max`."""
    if side == 1:
        return images
    count, height, width = images.shape
    sums = np.zeros((count, height // side, width // side), np.int16)
    for row, column in itertools.product(range(side), repeat=2):
        sums += images[:, row::side, column::side]
    return sums


def _tensors(images: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {split: torch.from_numpy(array) for split, array in images.items()}


def binarize(
    images: np.ndarray, pixel_max: int, options: DataOptions, split: str
) -> np.ndarray:
    """The `images`, pixels from 0 to `pixel_max`, as uint8 of 0 and 1, same shape.

    But for `threshold` a pixel is 1 with probability pixel / pixel_max. The draw
    depends on the data seed and the split alone.
    """
    if options.binarize == "threshold":
        return (images > pixel_max // 2).astype(np.uint8)
    # RandomState, whose stream NumPy has frozen: a Generator's may change.
    # With u uniform on 0..pixel_max-1, P(u < pixel) is exactly pixel / pixel_max.
    seeds = np.random.SeedSequence([options.data_seed, SPLITS.index(split)])
    random = np.random.RandomState(np.random.MT19937(seeds))
    draw = random.randint(0, pixel_max, size=images.shape, dtype=images.dtype)
    return (draw < images).astype(np.uint8)
