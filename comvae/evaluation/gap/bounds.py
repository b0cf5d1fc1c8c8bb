"""L[q], the evidence lower bound, in its meanings."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.target import Target
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian, log_prior


def bounds(
    target: Target,
    posteriors: Sequence[DiagonalGaussian],
    draws: int,
    noise: Noise,
    purpose: str,
) -> tuple[Tensor, Tensor]:
    """L[q] with one q per weight draw, and with the mixture of them all, in nats.

    `posteriors` are q_k = q(z given x, w_k) for k = 1..K; both results are float64,
    (seeds, images). From each of them `draws` / K latents are drawn (rounded up), and

        first = mean of log p(x, z) - log q_k(z)
        second = mean of log p(x, z) - log 1/K sum_j q_j(z)

    The second is a lower bound on L of the marginal q(z given x) that grows with K and
    reaches it in the limit, because the sum has the q_k in it that z was drawn from
    (Yin and Zhou 2018, section 2.2). Both are unbiased; with K = 1 they are equal.
    """
    weights = len(posteriors)
    seeds, images, latent = posteriors[0].mean.shape
    each = -(-draws // weights)
    first = torch.empty(seeds, images, dtype=torch.float64, device=noise.device)
    second = torch.empty_like(first)
    for part, index in image_chunks(
        seeds, images, weights * each * latent, noise.device
    ):
        eps = noise.normal(purpose, index.shape[1], weights, each, latent)
        here = [posterior.images(part) for posterior in posteriors]
        drawn = [q.rsample(eps[:, :, k]) for k, q in enumerate(here)]
        own = [q.log_prob(z) for q, z in zip(here, drawn, strict=True)]
        z = torch.cat(drawn, 2)
        joint = target.select(index).log_likelihood(z) + log_prior(z)
        first[:, part] = (joint - torch.cat(own, 2)).double().mean(2)
        second[:, part] = (joint - _log_mixture(here, z)).double().mean(2)
    return first, second


def _log_mixture(posteriors: Sequence[DiagonalGaussian], z: Tensor) -> Tensor:
    """log 1/K sum_k q_k(z), (seeds, images, draws)."""
    total = torch.full_like(z[..., 0], -torch.inf)
    for posterior in posteriors:
        total = torch.logaddexp(total, posterior.log_prob(z))
    return total - math.log(len(posteriors))
