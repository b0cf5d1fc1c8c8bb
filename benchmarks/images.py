"""The images that are trained on, all in memory."""

import dataclasses
import os

import torch

from benchmarks.cases import ROOT
from comvae.datasets.loading import Dataset, pool
from comvae.errors import DatasetError


def named(dataset: str, first: int | None = None) -> Dataset:
    """`digits`, `mnist` or `mnist-half`, or `mnist-synthetic` in their place, with its
    `first` training images."""
    if dataset == "digits":
        data = digits()
    elif dataset == "mnist-half":
        data = halved(mnist() or synthetic(60_000, 28))
    else:
        data = mnist() or synthetic(60_000, 28)
    return dataclasses.replace(data, train=data.train[:first].contiguous())


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


def halved(data: Dataset) -> Dataset:
    """Pooled by 2, as a study with `pool: 2` has them."""
    height, width = data.height // 2, data.width // 2
    train, test = (
        torch.from_numpy(
            pool(images.view(-1, data.height, data.width).numpy(), 2)
        ).flatten(1)
        for images in (data.train, data.test)
    )
    name = f"{data.name}-half"
    return Dataset(name, train, test, 4 * data.pixel_max, height, width)


def synthetic(images: int, side: int) -> Dataset:
    """Random images of side x side pixels, a fifth of them ink, as MNIST has it."""
    generator = torch.Generator().manual_seed(0)
    shape = (images, side * side)
    grey = torch.randint(96, 256, shape, generator=generator, dtype=torch.uint8)
    drawn = grey * (torch.rand(shape, generator=generator) < 0.19)
    return Dataset("mnist-synthetic", drawn, drawn[:10], 255, side, side)
