"""The images that are trained on, all in memory."""

import dataclasses
import os

import torch

from benchmarks.cases import ROOT
from comvae.datasets.loading import Dataset
from comvae.errors import DatasetError

TEST_IMAGES = 10  # training does not look at them


def named(dataset: str) -> Dataset:
    """`digits` or `mnist`; its name is `mnist-synthetic` where MNIST is not at hand."""
    if dataset == "digits":
        return digits()
    return mnist() or synthetic(60_000, 28, "mnist-synthetic")


def digits() -> Dataset:
    """The digits that ship inside scikit-learn."""
    from comvae.datasets.digits import read

    arrays = {part: torch.from_numpy(array) for part, array in read().items()}
    train, test = arrays["train-images"], arrays["test-images"]
    return Dataset("digits", train.flatten(1), test.flatten(1), 16, 8, 8)


def mnist() -> Dataset | None:
    """MNIST from results/datasets, or fetched into it where COMVAE_MIRROR is set."""
    from comvae.datasets.loading import load

    folder = ROOT / "results" / "datasets" / "mnist"
    try:
        if os.environ.get("COMVAE_MIRROR"):
            from comvae.datasets.fetching import fetch

            fetch("mnist", folder)
        return load(folder)
    except (DatasetError, ImportError):
        return None


def synthetic(images: int, side: int, name: str = "synthetic") -> Dataset:
    """Random images of side x side pixels that are as sparse as MNIST's.

    A fifth of the pixels is ink, most of it in the middle; towards the corners two
    pixels in five are empty in a whole minibatch of 32.
    """
    generator = torch.Generator().manual_seed(0)
    axis = (torch.arange(side) - (side - 1) / 2) * (28 / side)
    radius = torch.hypot(axis[:, None], axis[None, :]).flatten()
    ink = 0.7 * torch.exp(-((radius / 8.7) ** 4))
    shape = (images + TEST_IMAGES, side * side)
    grey = torch.randint(96, 256, shape, generator=generator, dtype=torch.uint8)
    drawn = grey * (torch.rand(shape, generator=generator) < ink)
    train, test = drawn[:images], drawn[images:]
    return Dataset(name, train, test, 255, side, side)


def shortened(dataset: Dataset, images: int | None) -> Dataset:
    """The dataset with its first `images` training images; None keeps all."""
    return dataclasses.replace(dataset, train=dataset.train[:images].contiguous())
