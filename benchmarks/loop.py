"""Contestant: the training loop that one writes around a plain PyTorch module."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.clock import Marks
from benchmarks.plain import plain_vae, weights_of_minibatches
from comvae.datasets.loading import Dataset
from comvae.study.settings import RunConfig

VARIANTS = ("loader", "indexed", "indexed-fused")
"""`loader`: DataLoader(TensorDataset), Adam as it comes; `indexed`: minibatches
gathered by index from the tensor on the device; `fused`: Adam(fused=True)."""

COMPILED = "indexed-fused-compiled"
"""The module through torch.compile: reported, and not what `ratio_plain` means."""


def epoch_seconds(
    variant: str, config: RunConfig, dataset: Dataset, device: torch.device
) -> float:
    """Seconds of an epoch of one seed, without the first epoch."""
    marks = Marks(device)
    train(variant, config, dataset, device, on_epoch=marks)
    return marks.epoch_seconds(config.training.epochs)


def train(
    variant: str,
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[Tensor], None] = lambda terms: None,
) -> None:
    """Train one seed; `on_epoch` gets the mean over the minibatches of the three terms:
    reconstruction, latent KL and weight KL in nats."""
    torch.manual_seed(config.seeds[0])
    images = dataset.train.to(device, torch.float32) / dataset.pixel_max
    size = config.training.batch_size
    model = plain_vae(config, images.shape[1]).to(device)
    adam = torch.optim.Adam(
        model.parameters(),
        lr=config.training.learning_rate,
        fused=True if "fused" in variant else None,
    )
    terms_of = torch.compile(model) if "compiled" in variant else model
    loader = DataLoader(TensorDataset(images.cpu()), size, shuffle=True)
    weights = weights_of_minibatches(
        config.options.complexity_weights, math.ceil(len(images) / size)
    )
    for _ in range(config.training.epochs):
        batches = loaded(loader) if variant == "loader" else indexed(images, size)
        total = torch.zeros(3, device=device)
        for x, weight in zip(batches, weights, strict=True):
            reconstruction, latent_kl, weight_kl = terms_of(x.to(device))
            loss = reconstruction + latent_kl + weight * weight_kl
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += torch.stack([reconstruction, latent_kl, weight_kl]).detach()
        on_epoch(total / len(weights))


def loaded(loader: DataLoader) -> Iterable[Tensor]:
    """The minibatches of a DataLoader, which collates them image by image."""
    return (x for (x,) in loader)


def indexed(images: Tensor, size: int) -> Iterable[Tensor]:
    """Minibatches gathered by index, in a random order."""
    order = torch.randperm(len(images), device=images.device)
    return (images[index] for index in order.split(size))
