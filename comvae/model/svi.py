"""Stochastic variational inference from where an encoder points to (Kim, Wiseman,
Miller, Sontag and Rush 2018, "Semi-Amortized Variational Autoencoders")."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from comvae.model.noise import Noise
from comvae.model.options import SVI
from comvae.model.posterior import DiagonalGaussian


def ascend(
    start: DiagonalGaussian,
    log_likelihood: Callable[[Tensor], Tensor],
    settings: SVI,
    noise: Noise,
    through: bool = False,
) -> Iterator[DiagonalGaussian]:
    """q of each image after 0, 1, 2, ... `settings.steps` steps up its ELBO: gradient
    ascent with momentum, in mean and log variance (algorithm 1 there).

    `log_likelihood` gives log p(x given z) in nats, (seeds, images, draws), of latents
    (seeds, images, draws, latent). `through`: what comes out can be differentiated
    through all steps, by `start` and by the decoder. No image depends on another.
    """
    point = start.mean, 2 * start.scale.log()
    velocity = [torch.zeros_like(start.mean)] * 2
    _, images, latent = start.mean.shape
    yield start
    for _ in range(settings.steps):
        eps = noise.normal("svi", images, settings.draws, latent)
        slopes = _slopes(point, log_likelihood, eps, through)
        for number, slope in enumerate(slopes):
            size = slope.norm(dim=2, keepdim=True)
            clipped = slope * (settings.clip / size.clamp_min(settings.clip))
            velocity[number] = settings.momentum * velocity[number] + clipped
        pairs = zip(point, velocity, strict=True)
        mean, log_variance = (p + settings.rate * v for p, v in pairs)
        point = mean, log_variance
        yield _posterior(*point)


def _posterior(mean: Tensor, log_variance: Tensor) -> DiagonalGaussian:
    return DiagonalGaussian(mean, (log_variance / 2).exp())


@torch.enable_grad()
def _slopes(
    point: Sequence[Tensor],
    log_likelihood: Callable[[Tensor], Tensor],
    eps: Tensor,
    through: bool,
) -> Sequence[Tensor]:
    """Of each image's ELBO along its means, and along its log variances."""
    if not through:
        point = [tensor.detach().requires_grad_() for tensor in point]
    q = _posterior(*point)
    elbo = log_likelihood(q.rsample(eps)).mean(2) - q.kl()
    return torch.autograd.grad(elbo.sum(), point, create_graph=through)
