"""L[q], the evidence lower bound, in its meanings."""

import math

import torch
from torch import Tensor

from comvae.evaluation.gap.blocks import image_blocks
from comvae.evaluation.gap.normal import log_normal, log_prior
from comvae.evaluation.gap.target import Target
from comvae.model.noise import Noise


def bounds(
    target: Target,
    mean: Tensor,
    scale: Tensor,
    draws: int,
    noise: Noise,
    purpose: str,
) -> tuple[Tensor, Tensor]:
    """L[q] with one q per weight draw, and with the mixture of them all, in nats.

    `mean` and `scale` are those of q(z given x, w_k) for k = 1..K, (seeds, images, K,
    latent); both results are float64, (seeds, images). From each of them `draws` / K
    latents are drawn (rounded up), z ~ q_k, and

        first = mean of log p(x, z) - log q_k(z)
        second = mean of log p(x, z) - log 1/K sum_j q_j(z)

    The second is a lower bound on L of the marginal q(z given x) that grows with K and
    reaches it in the limit, because the sum has the q_k in it that z was drawn from
    (Yin and Zhou 2018, section 2.2). Both are unbiased; with K = 1 they are equal.
    """
    seeds, images, weights, latent = mean.shape
    each = -(-draws // weights)
    size = weights * each * latent
    first = mean.new_empty(seeds, images, dtype=torch.float64)
    second = torch.empty_like(first)
    for part, index in image_blocks(seeds, images, size, mean.device):
        m, s = mean[:, part], scale[:, part]
        eps = noise.normal(purpose, index.shape[1], weights, each, latent)
        z = m.unsqueeze(3) + s.unsqueeze(3) * eps
        own = log_normal(z, m.unsqueeze(3), s.unsqueeze(3)).flatten(2)
        z = z.flatten(2, 3)
        joint = target.select(index).log_likelihood(z) + log_prior(z)
        first[:, part] = (joint - own).double().mean(2)
        second[:, part] = (joint - _log_mixture(z, m, s)).double().mean(2)
    return first, second


def _log_mixture(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log 1/K sum_k N(z; mean_k, scale_k^2), (seeds, images, draws)."""
    weights = mean.shape[2]
    total = torch.full_like(z[..., 0], -torch.inf)
    for k in range(weights):
        one = log_normal(z, mean[:, :, k : k + 1], scale[:, :, k : k + 1])
        total = torch.logaddexp(total, one)
    return total - math.log(weights)
