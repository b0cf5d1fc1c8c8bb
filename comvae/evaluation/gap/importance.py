"""log p(x) by importance sampling from a heavy-tailed, defensive mixture."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.fit import (
    Normals,
    degrees_of_freedom,
    log_student,
    widening,
)
from comvae.evaluation.gap.target import Target, take
from comvae.model.noise import Noise
from comvae.model.posterior import log_prior

DEFENSIVE = 0.1  # share of the draws that come from the prior
TAIL = 3  # weights that count as the greatest, in roots of the number of draws


@dataclass
class Evidence:
    """An estimate of log p(x), float64 (seeds, images)."""

    log_px: Tensor  # nats
    effective: Tensor  # number of draws, or of chains
    draws: Tensor  # their number

    @property
    def error(self) -> Tensor:
        """Standard error of `log_px` in nats, as far as the draws can tell."""
        return (1 / self.effective - 1 / self.draws).clamp_min(0).sqrt()

    def put(self, index: Tensor, where: Tensor, other: "Evidence") -> None:
        """Take the images `index`, (seeds, wanted), from another estimate, as far as
        `where` says."""
        for name in ("log_px", "effective", "draws"):
            old, new = getattr(self, name), getattr(other, name)
            old.scatter_(1, index, torch.where(where, new, take(old, index)))

    def images(self, chosen: slice) -> Self:
        """A copy of that of some of the images."""
        parts = vars(self).values()
        return type(self)(*(tensor[:, chosen].clone() for tensor in parts))


@dataclass
class Sampled(Evidence):
    """An estimate of log p(x), and what tells whether its draws do."""

    heaviest: Tensor  # the draw of the greatest weight, (seeds, images, latent)
    tail: Tensor  # Hill's index of the greatest weights, (seeds, images)


def log_evidence(target: Target, modes: Normals, draws: int, noise: Noise) -> Sampled:
    """log p(x) of each image.

    The proposal is the mixture of a Student t at each of `modes` and of the prior,
    whose share bounds every weight by p(x given z) / DEFENSIVE. Each component has its
    fixed number of draws, and every draw is weighted with the whole mixture (Veach and
    Guibas 1995; Owen and Zhou 2000): the mean weight is unbiased for p(x), and its log
    a lower bound in expectation, low by half its squared error where the draws have
    found every mode.

    At a time each seed holds the latents of max(2^17 numbers, one image) on a CPU.
    """
    components, seeds, images, latent = modes.mean.shape
    degrees, wide = degrees_of_freedom(latent), widening(latent)
    counts = split_draws(draws, components)
    evidence = modes.mean.new_empty(seeds, images, dtype=torch.float64)
    effective, tail = torch.empty_like(evidence), torch.empty_like(evidence)
    heaviest = torch.empty_like(modes.mean[0])
    size = draws * (latent + degrees)
    for part, index in image_chunks(seeds, images, size, modes.mean.device):
        here, count = modes.images(part), index.shape[1]
        *own, prior = noise.normal("importance", count, draws, latent).split(counts, 2)
        radii = noise.normal("radii", count, draws - counts[-1], degrees)
        radii = radii.square().mean(3, keepdim=True).rsqrt().split(counts[:-1], 2)
        each = enumerate(zip(own, radii, strict=True))
        drawn = [here.draw(c, wide * radius * eps) for c, (eps, radius) in each]
        z = torch.cat([*drawn, prior], 2)
        joint = target.select(index).log_likelihood(z) + log_prior(z)
        weights = (joint - log_proposal(here, z, draws)).double()
        total = weights.logsumexp(2)
        evidence[:, part] = total - math.log(draws)
        effective[:, part] = (2 * total - (2 * weights).logsumexp(2)).exp()
        greatest = weights.topk(min(draws, round(TAIL * draws**0.5)), 2).values
        tail[:, part] = (greatest - greatest[..., -1:]).mean(2)
        place = weights.argmax(2)[..., None, None].expand(-1, -1, 1, latent)
        heaviest[:, part] = z.gather(2, place).squeeze(2)
    count = torch.full_like(evidence, draws)
    return Sampled(evidence, effective, count, heaviest, tail)


def log_proposal(modes: Normals, z: Tensor, draws: int) -> Tensor:
    """Log density of the proposal at latents (seeds, images, points, latent), where it
    is drawn from `draws` times, in nats."""
    latent = z.shape[3]
    degrees, wide = degrees_of_freedom(latent), widening(latent)
    *counts, prior = split_draws(draws, len(modes.mean))
    found = math.log(prior / draws) + log_prior(z)
    for c, count in enumerate(counts):
        square = (modes.whitened(c, z) / wide).square().sum(3)
        log_det = modes.log_det[c].unsqueeze(2) + latent * math.log(wide)
        density = log_student(square, log_det, degrees, latent)
        found = torch.logaddexp(found, math.log(count / draws) + density)
    return found


def split_draws(draws: int, components: int) -> list[int]:
    """Draws from each local optimum and, last, from the prior; one or more each."""
    prior = max(1, round(DEFENSIVE * draws))
    rest = draws - prior
    each = [rest // components + (c < rest % components) for c in range(components)]
    return [*each, prior]
