"""log p(x) by importance sampling from a widened, defensive mixture."""

import math

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.target import Target
from comvae.model.noise import Noise
from comvae.model.posterior import log_normal, log_prior

WIDENED = 1.5  # scale of the proposal over that of q*
DEFENSIVE = 0.1  # share of the draws that come from the prior


def log_evidence(
    target: Target, mean: Tensor, scale: Tensor, draws: int, noise: Noise
) -> tuple[Tensor, Tensor]:
    """log p(x) in nats and the effective number of draws, float64 (seeds, images).

    `mean` and `scale`, (components, seeds, images, latent), are the local optima of an
    image, which may be several modes. The proposal is the mixture of all of them, with
    WIDENED scales, and of the prior, whose share bounds every weight by
    p(x given z) / DEFENSIVE. Each component has its fixed number of draws, and every
    draw is weighted with the whole mixture (Veach and Guibas 1995; Owen and Zhou 2000):
    the mean weight is unbiased for p(x), and its log a lower bound in expectation, low
    by (draws / effective - 1) / (2 draws) nats where the draws have found every mode.

    At a time each seed holds the latents of max(2^17 numbers, one image) on a CPU.
    """
    components, seeds, images, latent = mean.shape
    means = torch.cat([mean, torch.zeros_like(mean[:1])]).unsqueeze(4).transpose(3, 4)
    scales = torch.cat([scale * WIDENED, torch.ones_like(scale[:1])])
    scales = scales.unsqueeze(4).transpose(3, 4)  # (components + 1, ..., 1, latent)
    counts = split_draws(draws, components)
    evidence = mean.new_empty(seeds, images, dtype=torch.float64)
    effective = torch.empty_like(evidence)
    for part, index in image_chunks(seeds, images, draws * latent, mean.device):
        eps = noise.normal("importance", index.shape[1], draws, latent).split(counts, 2)
        m, s = means[:, :, part], scales[:, :, part]
        z = torch.cat([m[c] + s[c] * eps[c] for c in range(len(counts))], 2)
        proposal = torch.full_like(z[..., 0], -torch.inf)
        for c, count in enumerate(counts):
            share = math.log(count / draws) + log_normal(z, m[c], s[c])
            proposal = torch.logaddexp(proposal, share)
        joint = target.select(index).log_likelihood(z) + log_prior(z)
        weights = (joint - proposal).double()
        total = weights.logsumexp(2)
        evidence[:, part] = total - math.log(draws)
        effective[:, part] = (2 * total - (2 * weights).logsumexp(2)).exp()
    return evidence, effective


def split_draws(draws: int, components: int) -> list[int]:
    """Draws from each local optimum and, last, from the prior; one or more each."""
    prior = max(1, round(DEFENSIVE * draws))
    rest = draws - prior
    each = [rest // components + (c < rest % components) for c in range(components)]
    return [*each, prior]
