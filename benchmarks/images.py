"""The images that are trained on, all in memory."""

import dataclasses
import os

import torch

from benchmarks.cases import ROOT
from comvae.datasets.loading import Dataset
from comvae.datasets.options import DataOptions
from comvae.errors import DatasetError


def named(dataset: str, first: int | None = None) -> Dataset:
    """`digits`, `mnist` or `mnist-half`, or `mnist-synthetic` in their place, with its
    `first` training images."""
    side = 14 if dataset == "mnist-half" else 28
    data = digits() if dataset == "digits" else mnist(side) or synthetic(60_000, side)
    return dataclasses.replace(data, train=data.train[:first].contiguous())


def digits() -> Dataset:
    """The digits that ship inside scikit-learn."""
    from comvae.datasets.digits import read

    arrays = {part: torch.from_numpy(array) for part, array in read().items()}
    train, test = arrays["train-images"], arrays["test-images"]
    return Dataset("digits", train.flatten(1), test.flatten(1), 16, 8, 8)


def mnist(side: int) -> Dataset | None:
    """MNIST, pooled to side x side pixels, from results/datasets, or fetched into it
    where COMVAE_MIRROR is set."""
    from comvae.datasets.loading import load

    folder = ROOT / "results" / "datasets" / "mnist"
    try:
        if os.environ.get("COMVAE_MIRROR"):
            from comvae.datasets.fetching import fetch

            fetch("mnist", folder)
        return load(folder, DataOptions(pool=28 // side))
    except (DatasetError, ImportError):
        return None


def synthetic(images: int, side: int) -> Dataset:
    """Random images of side x side pixels, a fifth of them ink, as MNIST has it."""
    generator = torch.Generator().manual_seed(0)
    shape = (images, side * side)
    grey = torch.randint(96, 256, shape, generator=generator, dtype=torch.uint8)
    drawn = grey * (torch.rand(shape, generator=generator) < 0.19)
    return Dataset("mnist-synthetic", drawn, drawn[:10], 255, side, side)
