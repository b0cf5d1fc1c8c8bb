"""Load a fetched dataset: uint8 pixels, converted to float on the device."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from comvae.datasets.options import DataOptions
from comvae.datasets.source import SPLITS
from comvae.datasets.store import read_array, read_record


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of a dataset; `train` and `test` are uint8 (images, height*width)."""

    name: str
    train: Tensor
    test: Tensor
    pixel_max: int
    height: int
    width: int

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
    images = {
        split: read_array(directory, record, f"{split}-images") for split in SPLITS
    }
    pixels = {
        split: torch.from_numpy(
            binarize(array, record.pixel_max, options, split).reshape(len(array), -1)
        )
        for split, array in images.items()
    }
    return Dataset(
        name=record.name,
        train=pixels["train"],
        test=pixels["test"],
        pixel_max=record.pixel_max if options.binarize == "none" else 1,
        height=record.height,
        width=record.width,
    )


def binarize(
    images: np.ndarray, pixel_max: int, options: DataOptions, split: str
) -> np.ndarray:
    """The uint8 `images` as `options` ask for them, same shape; 0 or 1 if binarized.

    A stochastic pixel is 1 with probability pixel / pixel_max. The draw depends on
    the data seed and the split alone.
    """
    if options.binarize == "threshold":
        return (images > pixel_max // 2).astype(np.uint8)
    if options.binarize == "stochastic":
        # RandomState, whose stream NumPy has frozen: a Generator's may change.
        # With u uniform on 0..pixel_max-1, P(u < pixel) is exactly pixel / pixel_max.
        seeds = np.random.SeedSequence([options.data_seed, SPLITS.index(split)])
        random = np.random.RandomState(np.random.MT19937(seeds))
        draw = random.randint(0, pixel_max, size=images.shape, dtype=np.uint8)
        return (draw < images).astype(np.uint8)
    return images
