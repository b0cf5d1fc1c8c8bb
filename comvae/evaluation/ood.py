"""How foreign an image looks to a trained model: scores of images of two datasets.

The gap as a score is the Likelihood Regret of Xiao et al. (2020), with a better q*.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.certificate import search
from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.estimate import estimate
from comvae.evaluation.gap.fit import fit
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.measure import encode, image_indices
from comvae.evaluation.gap.target import DecoderTarget, Target
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.results.quantities import names
from comvae.study.run_config import RunConfig
from comvae.study.settings import Gap

SCORES = names(table="ood")
LATENTS = 20  # draws for each draw of the weights, the same for all of them


@torch.no_grad()
def score(
    vae: VAE,
    config: RunConfig,
    own: Dataset,
    foreign: Dataset,
    settings: Gap,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """SCORES of `settings.images` test images of both datasets, the greater the more
    foreign: one row per (seed, data, image), where data is the name of the dataset.

    Every image is scored, also where its log p(x) is withheld elsewhere.
    """
    tables = []
    for data in (own, foreign):
        chosen = image_indices(len(data.test), settings.images)
        x = data.to_float(data.test[chosen].to(device))
        noise = Noise(config.seeds, f"ood {data.name}", device)
        columns = _scores(vae, config, x, settings, noise)
        keys = {
            "seed": np.repeat(config.seeds, len(chosen)),
            "data": data.name,
            "image": np.tile(chosen, len(config.seeds)),
        }
        values = {name: t.flatten().cpu().numpy() for name, t in columns.items()}
        tables.append(pd.DataFrame(keys | values))
    return pd.concat(tables, ignore_index=True)


def _scores(
    vae: VAE, config: RunConfig, x: Tensor, settings: Gap, noise: Noise
) -> dict[str, Tensor]:
    """SCORES of one dataset, (seeds, images) each."""
    target = DecoderTarget(vae.decoder, config.options.likelihood, x)
    (at_mean,) = encode(vae, x, noise, 1, sample_weights=False)
    sampled = [at_mean]
    if config.options.random_encoder:
        sampled = encode(vae, x, noise, settings.marginal_draws, sample_weights=True)
    elbo = elbo_of_weights(target, sampled, noise)
    optimum = local_optimum(target, at_mean, **search(settings))
    q = optimum.of_start(optimum.best())
    best, _ = bounds(target, [q], settings.final_draws, noise, "elbo-optimal")
    modes = fit(target, *optimum.usable())
    evidence = estimate(target, modes, settings.importance_draws, noise).found.log_px
    kl = torch.stack([q.kl() for q in sampled]).double().mean(0)
    variance = elbo.var(0) if len(elbo) > 1 else torch.full_like(kl, torch.nan)
    return {
        "foreign_negative_elbo": -elbo.mean(0),
        "foreign_negative_log_px": -evidence,
        "foreign_latent_kl": kl,
        "foreign_gap": best - elbo.mean(0),
        "foreign_elbo_variance": variance,
    }


def elbo_of_weights(
    target: Target, posteriors: list[DiagonalGaussian], noise: Noise
) -> Tensor:
    """L[q] of each draw of the weights, float64 (draws, seeds, images), with an exact
    KL and the same LATENTS draws for all: they differ by their weights alone."""
    seeds, images, latent = posteriors[0].mean.shape
    shape = len(posteriors), seeds, images
    found = torch.empty(shape, dtype=torch.float64, device=noise.device)
    for part, index in image_chunks(seeds, images, LATENTS * latent, noise.device):
        eps = noise.normal("elbo", index.shape[1], LATENTS, latent)
        chosen = target.select(index)
        for draw, posterior in enumerate(posteriors):
            q = posterior.images(part)
            nats = chosen.log_likelihood(q.rsample(eps)).double().mean(2)
            found[draw, :, part] = nats - q.kl()
    return found
