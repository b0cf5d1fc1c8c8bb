"""Normal distributions over the latents: densities and quasi-random draws."""

import torch
from torch import Tensor

from comvae.model.priors import LOG_SQRT_2PI


def log_normal(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log N(z; mean, scale^2) in nats, summed over the last axis, which is as long in
    `scale` as in `z`."""
    square = ((z - mean) / scale).square().sum(-1)
    return -0.5 * square - (scale.log() + LOG_SQRT_2PI).sum(-1)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats, summed over the last axis."""
    return -0.5 * z.square().sum(-1) - z.shape[-1] * LOG_SQRT_2PI


def quasi_normal(draws: int, latent: int) -> Tensor:
    """Points that stand for N(0, I), always the same ones, float32 (draws, latent).

    Scrambled Sobol points through the inverse of the normal distribution function, each
    with its mirror image, and then made to have exactly the covariance I: averages of
    quadratic functions are exact. `draws` is even and at least twice `latent`.
    """
    sobol = torch.quasirandom.SobolEngine(latent, scramble=True, seed=0)
    uniform = sobol.draw(draws // 2, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
    points = torch.special.ndtri(uniform)
    points = torch.cat([points, -points])
    covariance = points.T @ points / draws
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), points.T, upper=False
    )
    return whitened.T.float()
