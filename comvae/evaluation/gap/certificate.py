"""How far log p(x) may be off: bounds from both sides on images of the model itself.

Bidirectional Monte Carlo (Grosse et al. 2015): the latents that an image was simulated
from are an exact draw of its posterior, and annealing back from them gives an upper
bound in expectation.
"""

from typing import Any

from torch import Tensor

from comvae.evaluation.gap.annealing import SCHEDULES, anneal_back
from comvae.evaluation.gap.estimate import estimate
from comvae.evaluation.gap.fit import fit
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.vae import VAE, simulate
from comvae.study.settings import Gap


def certificate(
    vae: VAE, likelihood: str, settings: Gap, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on the mean log p(x) of simulated images, (seeds,) each.

    The lower one is the estimate that the gaps are measured with.
    """
    exact, x = simulate(vae, noise, settings.certificate_images)
    target = DecoderTarget(vae.decoder, likelihood, x)
    encoded, _ = vae.encoder(x, Mode(noise, sample_weights=False, weight_kl=False))
    found = local_optimum(target, encoded, **search(settings))
    modes = fit(target, *found.usable())
    lower = estimate(target, modes, settings.importance_draws, noise).found.log_px
    upper = anneal_back(target, modes, exact, SCHEDULES["certificate"], noise)
    return lower.mean(1), upper.mean(1)


def search(settings: Gap) -> dict[str, Any]:
    """The settings of the search for q*, as `local_optimum` takes them."""
    return {
        "draws": settings.optimum_draws,
        "iterations": settings.optimum_iterations,
        "tolerance": settings.optimum_tolerance,
    }
