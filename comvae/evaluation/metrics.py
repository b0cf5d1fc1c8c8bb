"""Metrics of a trained model on a whole split, beside the terms of its ELBO.

A metric is a function here and an entry of the same name in results/quantities.py, a
`metric`. It is given the VAE and q(z given x) of every image of the split,
for one draw of the weights; it gives a number for each seed, (seeds,).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.results.quantities import QUANTITIES

ACTIVE = 0.01  # variance of a latent's mean over images, above which it is active
DRAWS = 500  # latents that the aggregate posterior is looked at in
AT_ONCE = 2_000_000  # densities


def metrics(vae: VAE, posterior: DiagonalGaussian) -> dict[str, Tensor]:
    """Every metric of the vocabulary, by name."""
    return {
        name: globals()[name](vae, posterior)
        for name, quantity in QUANTITIES.items()
        if quantity.metric
    }


def active_units(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """How many latents tell images apart: the variance of E[z given x] over images is
    above 0.01 (Burda et al. 2016, section 5.1)."""
    return (posterior.mean.double().var(1) > ACTIVE).sum(-1).double()


@lru_cache(1)  # `aggregate_kl` asks for the same once more
def mutual_information(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """I(x, z) under q in nats (Hoffman and Johnson 2016), where q(z) is the mean of
    q(z given x) over images: the mean of log q(z given x) - log q(z) over a draw from
    each of DRAWS images, evenly spaced; its standard error is about 0.05 nats.

    At most the log of the number of images: of all images that there are, not of the
    split alone, it is a lower bound (Poole et al. 2019, section 2).
    """
    images = posterior.mean.shape[1]
    some = posterior.images(slice(None, None, -(-images // DRAWS)))
    generator = torch.Generator().manual_seed(0)  # the same draws each time
    eps = torch.randn(some.mean.shape[1:], generator=generator).to(some.mean)
    z = some.rsample(eps.expand_as(some.mean))
    return (some.log_prob(z).double() - _log_aggregate(posterior, z)).mean(1)


def aggregate_kl(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """KL(q(z) to p(z)) in nats: what is left of the latent KL without
    `mutual_information`, of which it has the error."""
    return posterior.kl().double().mean(1) - mutual_information(vae, posterior)


def _log_aggregate(posterior: DiagonalGaussian, z: Tensor) -> Tensor:
    """log q(z) of (seeds, draws, latent) in nats, (seeds, draws)."""
    seeds, draws, latent = z.shape
    images = posterior.mean.shape[1]
    size = max(1, AT_ONCE // (seeds * draws * latent))
    found = torch.full((seeds, draws), -torch.inf, device=z.device, dtype=torch.float64)
    for start in range(0, images, size):
        some = posterior.images(slice(start, start + size))
        count = some.mean.shape[1]
        given = some.log_prob(z[:, None].expand(seeds, count, draws, latent))
        found = torch.logaddexp(found, given.double().logsumexp(1))
    return found - math.log(images)
