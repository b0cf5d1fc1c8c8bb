"""The gaps of any PyTorch VAE whose prior is N(0, I) (docs/gap.md)."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution

from comvae.evaluation.gap.chunks import LOGITS, chunks
from comvae.evaluation.gap.measure import decompose
from comvae.evaluation.gap.target import take
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian
from comvae.results.gap_files import with_gaps
from comvae.study.settings import Gap

Decode = Callable[[Tensor], Tensor | Distribution]
Encode = Callable[[Tensor], Distribution | tuple[Tensor, Tensor]]
SHOWN = [
    *("elbo", "elbo_optimal", "log_px"),
    *("approximation_gap", "amortization_gap", "inference_gap"),
    *("ess", "converged"),
]


def amortization_gap(
    decoder: Decode, encoder: Encode, x: Tensor, **settings: Any
) -> pd.DataFrame:
    """What the encoder loses against the best diagonal Gaussian of each image, and that
    one against the posterior: one row per image, in nats.

        log p(x) - ELBO = approximation gap + amortization gap

    `encoder(x)` gives a normal distribution over z, or its mean and log variance, each
    (images, latent). `decoder(z)` of (draws, latent) gives a distribution over x whose
    `log_prob` is summed over all but the draws, or logits of Bernoulli pixels. A module
    is measured as after `eval()`, and is then as it was.

    Columns: elbo, elbo_optimal (that of the best Gaussian, q*), log_px, the gaps
    approximation_gap, amortization_gap and inference_gap, their sum; ess, the effective
    draws of log_px, and converged, whether the search for q* ended. `settings` are
    those of `gap` in docs/settings.md; annealing is off unless `ais` asks for it. The
    same call gives the same numbers.

    Raises ValueError for what is not such an encoder or decoder.
    """
    with _evaluating(decoder, encoder):
        noise = Noise([0], "amortization gap", x.device)
        with torch.no_grad():
            posterior = _posterior(encoder(x), len(x))
        target = ModuleTarget(decoder, x)
        chosen = gap_settings(settings)
        columns = decompose(target, [posterior], [posterior], chosen, noise)
    return as_table(columns)[SHOWN]


def gap_settings(changes: dict[str, Any]) -> Gap:
    """The settings of a measurement on given images; annealing is off by itself."""
    return Gap.model_validate({"ais": "off", "ais_images": 2**31} | changes)


def as_table(columns: dict[str, Tensor], seed: int = 0) -> pd.DataFrame:
    """The columns of `decompose` of one seed, with the gaps."""
    return with_gaps(
        pd.DataFrame({n: t[seed].cpu().numpy() for n, t in columns.items()})
    )


class ModuleTarget:
    """A `Target` made of any differentiable decoder, of one seed.

    Gradients come from autograd, for as many draws at a time as have LOGITS numbers.
    """

    def __init__(self, decoder: Decode, x: Tensor) -> None:
        self.decoder, self.x = decoder, x

    def select(self, index: Tensor) -> Self:
        chosen = copy.copy(self)
        chosen.x = take(self.x.unsqueeze(0), index)[0]
        return chosen

    @torch.no_grad()
    def log_likelihood(self, z: Tensor) -> Tensor:
        out = z.new_empty(z.shape[:-1])
        for images, draws in self._parts(len(self.x), z.shape[2]):
            out[0, images, draws] = self._given(z[0, images, draws], images)
        return out

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = z.new_empty(z.shape[:-1]), torch.empty_like(z)
        for images, draws in self._parts(len(self.x), z.shape[2]):
            with torch.enable_grad():
                here = z[0, images, draws].detach().requires_grad_()
                given = self._given(here, images)
                (slope,) = torch.autograd.grad(given.sum(), here)
            value[0, images, draws] = given.detach()
            gradient[0, images, draws] = slope
        return value, gradient

    @torch.no_grad()
    def at_points(self, z: Tensor) -> Tensor:
        out = z.new_empty(1, len(self.x), len(z))
        for draws in chunks(len(z), self._size, LOGITS[z.device.type]):
            over = self._decoded(z[draws])
            for images, _ in self._parts(len(self.x), len(z[draws])):
                given = over.log_prob(self.x[images].unsqueeze(1))
                out[0, images, draws] = _per_draw(given)
        return out

    @property
    def _size(self) -> int:
        return max(1, self.x[0].numel())

    def _parts(self, images: int, draws: int) -> Iterator[tuple[slice, slice]]:
        most = LOGITS[self.x.device.type]
        for some in chunks(images, draws * self._size, most):
            for part in chunks(draws, self._size, most):
                yield some, part

    def _decoded(self, z: Tensor) -> Distribution:
        """p(x given z) of latents (rows, latent)."""
        given = self.decoder(z)
        if isinstance(given, Tensor):
            given = Bernoulli(logits=given, validate_args=False)
        if not isinstance(given, Distribution):
            raise ValueError(
                f"decoder: gave {type(given).__name__}, expected a distribution over x "
                "or a tensor of logits"
            )
        shape = given.batch_shape + given.event_shape
        if shape != (len(z), *self.x.shape[1:]):
            raise ValueError(
                f"decoder: gave values {tuple(shape)} for {len(z)} latents, expected "
                f"{(len(z), *self.x.shape[1:])}: those of as many images like x"
            )
        return given

    def _given(self, z: Tensor, images: slice) -> Tensor:
        """log p(x given z) of latents (images, draws, latent), (images, draws)."""
        x = self.x[images].unsqueeze(1).expand(-1, z.shape[1], *self.x.shape[1:])
        given = self._decoded(z.flatten(0, 1)).log_prob(x.flatten(0, 1))
        return _per_draw(given.unflatten(0, z.shape[:2]))


def _per_draw(log_prob: Tensor) -> Tensor:
    """(images, draws, ...) summed to (images, draws)."""
    return log_prob.flatten(2).sum(2) if log_prob.dim() > 2 else log_prob


def _posterior(given: Any, images: int) -> DiagonalGaussian:
    """What an encoder gave as q(z given x) of one seed."""
    if isinstance(given, Distribution):
        mean, scale = given.mean, given.stddev
    elif isinstance(given, tuple | list) and len(given) == 2:
        mean, scale = given[0], torch.exp(0.5 * given[1])
    else:
        raise ValueError(
            f"encoder: gave {type(given).__name__}, expected a normal distribution, or "
            "a mean and a log variance"
        )
    if mean.shape != scale.shape or mean.dim() != 2 or len(mean) != images:
        raise ValueError(
            f"encoder: gave a mean {tuple(mean.shape)} and a scale "
            f"{tuple(scale.shape)}, expected ({images}, latent) of both"
        )
    return DiagonalGaussian(mean.unsqueeze(0), scale.unsqueeze(0))


@contextmanager
def _evaluating(*parts: object) -> Iterator[None]:
    """Modules among `parts` in evaluation mode, and then as they were."""
    modules = [
        m for part in parts if isinstance(part, nn.Module) for m in part.modules()
    ]
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
