"""Lockstep training: one optimiser step moves all seeds of a block (section 3.1)."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
import torch
from torch import Tensor

from comvae.config import RunConfig
from comvae.datasets.loading import Dataset
from comvae.errors import SettingsError
from comvae.layers import Pass
from comvae.noise import Noise
from comvae.objective import Terms, complexity_weights, matters, minibatch_loss
from comvae.vae import VAE, build

log = logging.getLogger("comvae")

TERMS = ("reconstruction", "latent_kl", "negative_elbo", "weight_kl")
"""The columns of every table of ELBO terms, in nats (see results/README.md)."""


@dataclass
class Trained:
    """What training a block gives."""

    vae: VAE
    history: pd.DataFrame  # one row per (seed, epoch), columns TERMS
    seconds: float  # wall time of the block
    failed: dict[int, str] = field(default_factory=dict)  # seed -> why


def train(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, pd.DataFrame], None] = lambda epoch, rows: None,
) -> Trained:
    """Train all seeds of a block in lockstep.

    `on_epoch` is called after every epoch with its number and its rows of the history.
    A seed whose terms become infinite or NaN is listed under `failed`; the others
    finish. Raises SettingsError where the last minibatch would be too small.
    """
    # Adam's first moment of a pixel that is rarely ink decays to a subnormal number and
    # stays there: on a CPU its arithmetic makes the step up to fifteen times slower.
    torch.set_flush_denormal(True)
    device = torch.device(device)
    images = dataset.train.to(device)
    batch_size = config.training.batch_size
    _refuse_single_image(config, len(images))
    vae = build(config, images.shape[1], device)
    optimiser = torch.optim.Adam(
        vae.parameters(), lr=config.training.learning_rate, fused=True
    )
    noise = Noise(config.seeds, "training", device)
    weights = complexity_weights(
        config.options.complexity_weights, math.ceil(len(images) / batch_size)
    ).tolist()

    history, failed = [], {}
    start = time.perf_counter()
    for epoch in range(1, config.training.epochs + 1):
        order = noise.permutation("order", len(images))
        batches = order.split(batch_size, 1)
        means = _train_epoch(vae, optimiser, dataset, images, batches, weights, noise)
        rows = _rows(config.seeds, means).assign(epoch=epoch)
        history.append(rows)
        for seed, reason in _not_finite(rows).items():
            if seed not in failed:
                failed[seed] = f"{reason} in epoch {epoch}"
                log.error("seed %d failed: %s", seed, failed[seed])
        on_epoch(epoch, rows)
        if len(failed) == len(config.seeds):
            break
    seconds = time.perf_counter() - start
    table = pd.concat(history).sort_values(["seed", "epoch"], ignore_index=True)
    return Trained(vae, table[["seed", "epoch", *TERMS]], seconds, failed)


def _train_epoch(
    vae: VAE,
    optimiser: torch.optim.Optimizer,
    dataset: Dataset,
    images: Tensor,
    batches: Sequence[Tensor],
    weights: Sequence[float],
    noise: Noise,
) -> Tensor:
    """One epoch; the means of reconstruction, latent KL and weight KL, (3, seeds).

    The weight KL is left out where its complexity weight is too small to matter; its
    mean is over the minibatches that have it.
    """
    how = Pass(noise, batch_statistics=True, update_statistics=True)
    seeds = len(batches[0])
    totals = torch.zeros(3, seeds, dtype=torch.float64, device=images.device)
    for batch, weight in zip(batches, weights, strict=True):
        x = dataset.to_float(images[batch])
        terms = vae(x, replace(how, weight_kl=matters(weight)))
        optimiser.zero_grad(set_to_none=True)
        minibatch_loss(terms, weight, vae.options).sum().backward()
        optimiser.step()
        totals += _sums(terms)
    counts = [len(images), len(images), sum(map(matters, weights))]
    return totals / totals.new_tensor(counts).unsqueeze(1)


def _sums(terms: Terms) -> Tensor:
    with torch.no_grad():
        return torch.stack(
            [terms.reconstruction.sum(1), terms.latent_kl.sum(1), terms.weight_kl]
        ).double()


def _rows(seeds: list[int], means: Tensor) -> pd.DataFrame:
    reconstruction, latent_kl, weight_kl = means.cpu().numpy()
    return pd.DataFrame(
        {
            "seed": seeds,
            "reconstruction": reconstruction,
            "latent_kl": latent_kl,
            "negative_elbo": reconstruction + latent_kl,
            "weight_kl": weight_kl,
        }
    )


def _not_finite(rows: pd.DataFrame) -> dict[int, str]:
    """The first term that is infinite or NaN, by seed."""
    reasons = {}
    for row in rows.to_dict("records"):
        for term in TERMS:
            if not math.isfinite(row[term]):
                reasons[row["seed"]] = f"{term} is {row[term]}"
                break
    return reasons


def _refuse_single_image(config: RunConfig, images: int) -> None:
    """Batch norm over one image is undefined."""
    options, batch_size = config.options, config.training.batch_size
    normalised = options.batch_norm_maps or options.batch_norm_hidden
    if normalised and images % batch_size == 1:
        raise SettingsError(
            f"training.batch_size: found {batch_size}, which leaves a last minibatch "
            f"of one of the {images} training images, and batch norm needs two; choose "
            "another size"
        )
