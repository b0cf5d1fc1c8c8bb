"""Quasi-random draws of the latents."""

import torch
from torch import Tensor


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
