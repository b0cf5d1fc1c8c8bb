"""ELBO terms of trained models on whole splits."""

from collections.abc import Iterator
from itertools import repeat

import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.training import TERMS
from comvae.model.layers import Pass
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.vae import VAE
from comvae.study.settings import Evaluation, RunConfig


def evaluate(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    settings: Evaluation,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """The ELBO terms of every seed on both splits, one row per (seed, split, mode).

    The mode `default` samples weights and normalises with running statistics;
    `mean-weights` and `batch-statistics` stand beside it where a model has random
    weights or batch norm. Columns: seed, split, mode, images and TERMS, in nats.
    The latent noise of a seed is the same for all models, so that they compare paired.
    """
    rows = []
    for split in ("train", "test"):
        images = getattr(dataset, split).to(device)
        for mode in modes(config.options):
            means = _mean_terms(vae, config, dataset, images, settings, mode, split)
            for seed, values in zip(config.seeds, means.T.tolist(), strict=True):
                row = dict(seed=seed, split=split, mode=mode, images=len(images))
                rows.append(row | dict(zip(TERMS, values, strict=True)))
    return pd.DataFrame(rows).sort_values(["seed", "split", "mode"], ignore_index=True)


def modes(options: ModelOptions) -> list[str]:
    """The evaluation modes that differ for a model."""
    chosen = ["default"]
    if options.weight_prior is not None:
        chosen.append("mean-weights")
    if options.batch_norm_maps or options.batch_norm_hidden:
        chosen.append("batch-statistics")
    return chosen


@torch.no_grad()
def _mean_terms(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    images: Tensor,
    settings: Evaluation,
    mode: str,
    split: str,
) -> Tensor:
    """Means of TERMS over images and draws, float64 (4, seeds)."""
    noise = Noise(config.seeds, f"evaluation {split}", images.device)
    how = Pass(
        noise,
        sample_weights=mode != "mean-weights",
        batch_statistics=mode == "batch-statistics",
    )
    # batch statistics mean those that training saw
    size = (
        config.training.batch_size
        if mode == "batch-statistics"
        else settings.batch_size
    )
    totals = torch.zeros(3, len(config.seeds), dtype=torch.float64, device=noise.device)
    for batch in batches(images, size):
        x = dataset.to_float(batch).expand(len(config.seeds), *batch.shape)
        # with the weights at their means q(z given x) is the same each time
        posteriors = (
            repeat(vae.encoder(x, how), settings.samples)
            if mode == "mean-weights"
            else vae.encoder.posteriors(x, how, settings.samples)
        )
        nats, with_kl = torch.zeros_like(totals), 0
        for posterior in posteriors:
            terms = vae.terms(x, posterior, how)
            nats[0] += terms.reconstruction.sum(1)
            nats[1] += terms.latent_kl.sum(1)
            nats[2] += terms.weight_kl * len(batch)
            with_kl += int((terms.weight_kl != 0).any())
        nats[:2] /= settings.samples
        nats[2] /= max(with_kl, 1)
        totals += nats
    reconstruction, latent_kl, weight_kl = totals / len(images)
    if mode == "mean-weights":
        weight_kl = torch.full_like(weight_kl, torch.nan)  # fixed weights have none
    return torch.stack(
        [reconstruction, latent_kl, reconstruction + latent_kl, weight_kl]
    )


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """`images` in order, `size` at a time; a last single image joins its neighbours,
    because a batch of one has no batch statistics."""
    start, count = 0, len(images)
    while start < count:
        stop = min(start + size, count)
        if count - stop == 1:
            stop = count
        yield images[start:stop]
        start = stop
