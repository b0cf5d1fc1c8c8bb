"""ELBO terms of trained models on whole splits."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat

import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.fused import fuse
from comvae.evaluation.metrics import metrics
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Evaluation


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
    weights or batch norm. Columns: seed, split, mode, images, the terms in nats and, in
    the default mode, the metrics and the negative bound of an objective other than the
    ELBO. The latent noise of a seed is the same for all
    models, so that they compare paired.
    """
    if config.training.kernels == "auto":
        fuse(vae, torch.device(device), training=False)
    rows = []
    for split in ("train", "test"):
        images = getattr(dataset, split).to(device)
        for mode in modes(config.options):
            columns = _terms(vae, config, dataset, images, settings, mode, split)
            for index, seed in enumerate(config.seeds):
                row = dict(seed=seed, split=split, mode=mode, images=len(images))
                row |= {name: values[index].item() for name, values in columns.items()}
                rows.append(row)
    return pd.DataFrame(rows).sort_values(["seed", "split", "mode"], ignore_index=True)


def modes(options: ModelOptions) -> list[str]:
    """The evaluation modes that differ for a model."""
    chosen = ["default"]
    if options.random_encoder:
        chosen.append("mean-weights")
    if options.batch_norm_maps or options.batch_norm_hidden:
        chosen.append("batch-statistics")
    return chosen


@torch.no_grad()
def _terms(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    images: Tensor,
    settings: Evaluation,
    named: str,
    split: str,
) -> dict[str, Tensor]:
    """Means of the terms over images and draws, and the metrics, (seeds,) each."""
    seeds = len(config.seeds)
    noise = Noise(config.seeds, f"evaluation {split}", images.device)
    mode = Mode(
        noise,
        sample_weights=named != "mean-weights",
        batch_statistics=named == "batch-statistics",
    )
    size = settings.batch_size
    if named == "batch-statistics":
        size = config.training.batch_size  # the statistics that training saw
    totals = torch.zeros(3, seeds, dtype=torch.float64, device=noise.device)
    first: list[DiagonalGaussian] = []
    bound = named == "default" and config.options.objective != "elbo"
    as_trained = replace(mode, noise=noise.of("bound"), weight_kl=False)
    negative_bound = torch.zeros(seeds, dtype=torch.float64, device=noise.device)
    for batch in batches(images, size):
        x = dataset.to_float(batch).expand(seeds, *batch.shape)
        # with the weights at their means q(z given x) is the same each time
        encoded = (
            repeat(vae.encoder(x, mode), settings.samples)
            if named == "mean-weights"
            else vae.encoder.posteriors(x, mode, settings.samples)
        )
        nats, with_kl = torch.zeros_like(totals), 0
        for draw, (posterior, weight_kl) in enumerate(encoded):
            if draw == 0:
                first.append(posterior)
            terms = vae.terms(x, posterior, weight_kl, mode)
            nats[0] += terms.reconstruction.sum(1)
            nats[1] += terms.latent_kl.sum(1)
            nats[2] += terms.weight_kl * len(batch)
            with_kl += int((terms.weight_kl != 0).any())
        nats[:2] /= settings.samples
        nats[2] /= max(with_kl, 1)
        totals += nats
        if bound:
            negative_bound += vae(x, as_trained).negative_bound.sum(1)
    reconstruction, latent_kl, weight_kl = totals / len(images)
    if named == "mean-weights":
        weight_kl = torch.full_like(weight_kl, torch.nan)  # fixed weights have none
    found = {
        "reconstruction": reconstruction,
        "latent_kl": latent_kl,
        "negative_elbo": reconstruction + latent_kl,
        "weight_kl": weight_kl,
    }
    if bound:
        found["negative_bound"] = negative_bound / len(images)
    if named == "default":
        found |= metrics(vae, type(first[0]).joined(first))
    return found


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
