"""q(z given x, w): what an encoder says of the latents of each image (section 2.1).

A family is a module that turns an encoder's outputs into a posterior, and is named in
`POSTERIORS` of options.py. A posterior offers what `DiagonalGaussian` does: nothing
else of it is known where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.priors import LOG_SQRT_2PI


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, scale^2) for each image; `mean` and `scale` are (seeds, images, latent).

    Where latents are given, they may have axes of draws between images and latents.
    """

    mean: Tensor
    scale: Tensor

    def rsample(self, eps: Tensor) -> Tensor:
        """Latents from standard normal draws, in the shape of `eps`."""
        return torch.addcmul(beside(self.mean, eps), beside(self.scale, eps), eps)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of latents in nats, (seeds, images, ...)."""
        return log_normal(z, beside(self.mean, z), beside(self.scale, z))

    def kl(self, z: Tensor | None = None) -> Tensor:
        """KL to the prior N(0, 1) of the latents in nats, (seeds, images).

        It is exact here; a family without a closed form estimates it from latents `z`
        that are drawn from it.
        """
        square = self.mean**2 + self.scale**2
        return (0.5 * (square - 1) - self.scale.log()).sum(-1)

    def detached(self) -> Self:
        """The same without a gradient to what it is made of."""
        return type(self)(self.mean.detach(), self.scale.detach())

    def images(self, chosen: slice) -> Self:
        """The posterior of some of the images."""
        return type(self)(self.mean[:, chosen], self.scale[:, chosen])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The posterior of the images of all parts."""
        means, scales = [q.mean for q in parts], [q.scale for q in parts]
        return cls(torch.cat(means, 1), torch.cat(scales, 1))


class Gaussian(nn.Module):
    """The family of diagonal Gaussians: a mean and a scale for each latent."""

    def __init__(self, latent: int, options: ModelOptions, init: Noise) -> None:
        super().__init__()
        self.latent = latent
        self.outputs = 2 * latent  # of the encoder
        self.latent_scale = options.latent_scale

    def forward(self, outputs: Tensor) -> DiagonalGaussian:
        """(seeds, images, 2 latent) -> the posterior."""
        mean, s = outputs.chunk(2, dim=2)
        if self.latent_scale == "exp":
            return DiagonalGaussian(mean, torch.exp(0.5 * s))
        # below about -100 softplus underflows to zero, and log(0) would end the run
        return DiagonalGaussian(mean, F.softplus(s) + torch.finfo(s.dtype).tiny)


def log_normal(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log N(z; mean, scale^2) in nats, summed over the last axis, which is as long in
    `scale` as in `z`."""
    square = ((z - mean) / scale).square().sum(-1)
    return -0.5 * square - (scale.log() + LOG_SQRT_2PI).sum(-1)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats, summed over the last axis."""
    return -0.5 * z.square().sum(-1) - z.shape[-1] * LOG_SQRT_2PI


def beside(parameter: Tensor, z: Tensor) -> Tensor:
    """(seeds, images, latent), with the axes of draws that `z` has in between."""
    if z.dim() == parameter.dim():
        return parameter
    seeds, images, latent = parameter.shape
    return parameter.view(seeds, images, *[1] * (z.dim() - 3), latent)
