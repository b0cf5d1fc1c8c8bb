"""The ends of the scale of encoders, the prior for every image and q* itself, and a way
towards the better one, steps of SVI.

Each stands in for the encoder that a decoder was trained with, where the option
`evaluated_encoder` says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat

import torch
from torch import Tensor, nn

from comvae.evaluation.gap.certificate import search
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.target import DecoderTarget
from comvae.evaluation.svi import climbed
from comvae.model.mode import Mode
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.study.settings import Gap

SEARCH = Gap()


def with_evaluated_encoder(vae: VAE) -> VAE:
    """`vae` with the encoder that its options want evaluated."""
    chosen = vae.options.evaluated_encoder
    if chosen == "prior":
        vae.encoder = PriorEncoder(vae.latent)
    elif chosen == "optimal":
        vae.encoder = OptimalEncoder(vae)
    elif chosen == "svi":
        vae.encoder = SteppedEncoder(vae)
    return vae


class _FixedEncoder(nn.Module):
    """An encoder without random weights."""

    def posteriors(
        self, x: Tensor, mode: Mode, draws: int
    ) -> Iterator[tuple[DiagonalGaussian, Tensor]]:
        """Like `Encoder.posteriors`: the same each time."""
        return repeat(self(x, mode), draws)


class PriorEncoder(_FixedEncoder):
    """q(z given x) = p(z) for every image."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, x: Tensor, mode: Mode) -> tuple[DiagonalGaussian, Tensor]:
        """Like `Encoder.forward`: means 0, scales 1, weight KL 0."""
        mean = x.new_zeros(*x.shape[:2], self.latent)
        return DiagonalGaussian(mean, torch.ones_like(mean)), x.new_zeros(len(x))


class SteppedEncoder(_FixedEncoder):
    """q(z given x) after `svi.steps` steps from what the encoder gives, with its
    weights at their means."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.trained, self.decoder, self.options = vae.encoder, vae.decoder, vae.options

    @torch.no_grad()
    def forward(self, x: Tensor, mode: Mode) -> tuple[DiagonalGaussian, Tensor]:
        """Like `Encoder.forward`: the weight KL is 0."""
        target = DecoderTarget(self.decoder, self.options.likelihood, x)
        start, _ = self.trained(x, replace(mode, sample_weights=False, weight_kl=False))
        q = climbed(target, start, self.options.svi, mode.noise)
        return q, x.new_zeros(len(x))


class OptimalEncoder(_FixedEncoder):
    """q(z given x) = q*, the best diagonal Gaussian of each image for the decoder.

    It is searched for as in the measurement of gaps, once for each batch of images,
    with the default settings.
    """

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.trained, self.decoder = vae.encoder, vae.decoder
        self.likelihood = vae.options.likelihood
        self._found: dict[bytes, DiagonalGaussian] = {}

    def forward(self, x: Tensor, mode: Mode) -> tuple[DiagonalGaussian, Tensor]:
        """Like `Encoder.forward`."""
        key = x.cpu().numpy().tobytes()
        if key not in self._found:
            self._found[key] = self._search(x, mode)
        return self._found[key], x.new_zeros(len(x))

    @torch.no_grad()
    def _search(self, x: Tensor, mode: Mode) -> DiagonalGaussian:
        target = DecoderTarget(self.decoder, self.likelihood, x)
        found = local_optimum(
            target,
            self.trained(x, mode)[0],
            **search(SEARCH),
        )
        return found.of_start(found.best())
