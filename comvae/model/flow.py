"""The family of a Gaussian that coupling layers reshape (RealNVP, Dinh et al. 2017).

Written here and not taken from a library: those of zuko are `torch.nn.Linear`, which
has no leading axis of seeds, and start from PyTorch's global generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian, Gaussian, beside, log_prior
from comvae.model.quasi_normal import quasi_normal

FIXED = 64  # draws that moments are taken over, and the KL where no others are given


class Coupling(NamedTuple):
    """One layer: its network from half of the latents, and from the context, to scale
    and shift of the other half. All tensors start with the axis of seeds."""

    by_latents: Tensor
    by_context: Tensor
    bias: Tensor
    out: Tensor
    out_bias: Tensor

    def __call__(self, kept: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Log scale, between -1 and 1, and shift of the other half, (..., its size)."""
        given = torch.baddbmm(self.bias.unsqueeze(1), context, self.by_context)
        rows = kept.flatten(1, -2)
        h = torch.bmm(rows, self.by_latents).view(*kept.shape[:-1], -1)
        h = (h + beside(given, h)).tanh()
        out = torch.baddbmm(self.out_bias.unsqueeze(1), h.flatten(1, -2), self.out)
        log_scale, shift = out.view(*kept.shape[:-1], -1).chunk(2, -1)
        return log_scale.tanh(), shift


@dataclass(frozen=True)
class FlowPosterior:
    """The distribution of what the couplings, one after the other, make of draws from
    `base`; `context` is (seeds, images, numbers). They change the halves in turn."""

    base: DiagonalGaussian
    context: Tensor
    couplings: tuple[Coupling, ...]

    def rsample(self, eps: Tensor) -> Tensor:
        """Latents from standard normal draws, in the shape of `eps`."""
        halves = list(self._halves(self.base.rsample(eps)))
        for number, coupling in enumerate(self.couplings):
            kept, changed = halves[number % 2], halves[1 - number % 2]
            log_scale, shift = coupling(kept, self.context)
            halves[1 - number % 2] = changed * log_scale.exp() + shift
        return torch.cat(halves, -1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of latents in nats, (seeds, images, ...)."""
        halves = list(self._halves(z))
        log_det = torch.zeros_like(z[..., 0])
        for number, coupling in reversed(list(enumerate(self.couplings))):
            kept, changed = halves[number % 2], halves[1 - number % 2]
            log_scale, shift = coupling(kept, self.context)
            halves[1 - number % 2] = (changed - shift) * (-log_scale).exp()
            log_det = log_det + log_scale.sum(-1)
        return self.base.log_prob(torch.cat(halves, -1)) - log_det

    def kl(self, z: Tensor | None = None) -> Tensor:
        """KL to the prior N(0, 1) of the latents in nats, (seeds, images): the mean of
        log q - log p over its draws `z`, (seeds, images, ..., latent), or over FIXED
        quasi-random draws, the same each time."""
        if z is None:
            eps = self._fixed.expand(*self.context.shape[:2], -1, -1)
            z = self.rsample(eps)
        nats = self.log_prob(z) - log_prior(z)
        return nats.flatten(2).mean(2) if nats.dim() > 2 else nats

    @cached_property
    def mean(self) -> Tensor:
        """Mean of each latent over FIXED draws, (seeds, images, latent)."""
        return self._moments[0]

    @cached_property
    def scale(self) -> Tensor:
        """Standard deviation of each latent, (seeds, images, latent)."""
        return self._moments[1]

    def detached(self) -> Self:
        """The same without a gradient to what it is made of."""
        couplings = (Coupling(*map(Tensor.detach, each)) for each in self.couplings)
        base = self.base.detached()
        return type(self)(base, self.context.detach(), tuple(couplings))

    def images(self, chosen: slice) -> Self:
        """The posterior of some of the images."""
        own = self.base.images(chosen), self.context[:, chosen]
        return type(self)(*own, self.couplings)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The posterior of the images of all parts."""
        base = DiagonalGaussian.joined([q.base for q in parts])
        context = torch.cat([q.context for q in parts], 1)
        return cls(base, context, parts[0].couplings)

    @property
    def _fixed(self) -> Tensor:
        latent = self.base.mean.shape[2]
        return quasi_normal(max(FIXED, 4 * latent), latent).to(self.base.mean)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """One draw at a time: a whole split has many images."""
        total, square = torch.zeros_like(self.base.mean), 0.0
        for eps in self._fixed:
            z = self.rsample(eps.expand_as(total))
            total, square = total + z, square + z.square()
        mean = total / len(self._fixed)
        variance = square / len(self._fixed) - mean.square()
        return mean, variance.clamp_min(torch.finfo(mean.dtype).eps).sqrt()

    @staticmethod
    def _halves(z: Tensor) -> tuple[Tensor, Tensor]:
        first = z.shape[-1] // 2
        return z[..., :first], z[..., first:]


class Flow(Gaussian):
    """The family: an image has a mean and a scale for each latent and a context, and
    all images share `flow.layers` couplings, which start as the identity.

    Without layers it is the Gaussian. Raises ValueError where there is one latent.
    """

    def __init__(self, latent: int, options: ModelOptions, init: Noise) -> None:
        super().__init__(latent, options, init)
        if latent < 2:
            raise ValueError(
                "training.latent: found 1, and the couplings of `posterior: flow` need "
                "two halves; choose 2 or more"
            )
        flow, init, self.gaussian = options.flow, init.of("flow"), self.outputs
        self.outputs += flow.context if flow.layers else 0
        self.couplings = nn.ModuleList()
        for number in range(flow.layers):
            halves = latent // 2, latent - latent // 2
            kept, changed = halves[number % 2], halves[1 - number % 2]
            bound = 1 / math.sqrt(kept + flow.context)
            sizes = (kept, flow.hidden), (flow.context, flow.hidden), (flow.hidden,)
            first = [init.uniform("weights", bound, *size) for size in sizes]
            out = torch.zeros(len(init.seeds), flow.hidden, 2 * changed)
            tensors = Coupling(*first, out, out[:, 0].clone())
            self.couplings.append(nn.ParameterDict(tensors._asdict()))

    def forward(self, outputs: Tensor) -> DiagonalGaussian | FlowPosterior:
        """(seeds, images, outputs) -> the posterior."""
        base = super().forward(outputs[..., : self.gaussian])
        if not self.couplings:
            return base
        couplings = tuple(Coupling(**each) for each in self.couplings)
        return FlowPosterior(base, outputs[..., self.gaussian :], couplings)
