"""Metrics of a trained model on a whole split, beside the terms of its ELBO.

A metric is a function here and an entry of the same name in results/quantities.py, a
`metric`. It is given the VAE and q(z given x) of every image of the split,
for one draw of the weights; it gives a number for each seed, (seeds,).
"""

from functools import lru_cache

import torch
from torch import Tensor

from comvae.model import information
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE, simulate
from comvae.results.quantities import QUANTITIES

ACTIVE = 0.01  # variance of a latent's mean over images, above which it is active
SIMULATED, SIMULATED_AT_ONCE = 500, 50  # images; the error of a share is 0.02 at most
REGION = 200  # draws that tell how much of q is denser than a point


def metrics(vae: VAE, posterior: DiagonalGaussian) -> dict[str, Tensor]:
    """Every metric of the vocabulary, by name."""
    return {
        name: globals()[name](vae, posterior)
        for name, quantity in QUANTITIES.items()
        if quantity.metric
    }


def active_units(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """How many latents tell images apart: the variance of E[z given x] over images is
    above 0.01 (Burda et al. 2016, section 5.1)."""
    return (posterior.mean.double().var(1) > ACTIVE).sum(-1).double()


@lru_cache(1)  # `aggregate_kl` asks for the same once more
def mutual_information(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """I(x, z) under q in nats (Hoffman and Johnson 2016), where q(z) is the mean of
    q(z given x) over images.

    Of all images that there are, not of the split alone, it is a lower bound (Poole et
    al. 2019, section 2).
    """
    return information.mutual_information(posterior)


def aggregate_kl(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """KL(q(z) to p(z)) in nats: what is left of the latent KL without
    `mutual_information`, of which it has the error."""
    return posterior.kl().double().mean(1) - mutual_information(vae, posterior)


def coverage_50(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """How often z is in the densest half of q(z given x), x being simulated from z."""
    return (_mass_inside(vae) < 0.5).double().mean(1)


def coverage_80(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """The same of the densest 80 %."""
    return (_mass_inside(vae) < 0.8).double().mean(1)


def coverage_95(vae: VAE, posterior: DiagonalGaussian) -> Tensor:
    """The same of the densest 95 %."""
    return (_mass_inside(vae) < 0.95).double().mean(1)


@lru_cache(1)
def _mass_inside(vae: VAE) -> Tensor:
    """Share of q(z given x) that is denser than z, (seeds, SIMULATED), over an image x
    simulated from each z of the prior: even over 0 to 1 where q is the posterior
    (simulation-based calibration, Talts et al. 2018).

    Each seed has the same latents, and the weights are drawn anew for every image.
    """
    seeds = len(vae.decoder.layers[0].weight)
    device = vae.decoder.layers[0].weight.device
    noise, inside = Noise([0] * seeds, "calibration", device), []
    for _ in range(0, SIMULATED, SIMULATED_AT_ONCE):
        count = SIMULATED_AT_ONCE
        z, x = simulate(vae, noise, count)
        q, _ = vae.encoder(x, Mode(noise, weight_kl=False))
        drawn = q.rsample(noise.normal("region", count, REGION, z.shape[2]))
        denser = q.log_prob(drawn) > q.log_prob(z).unsqueeze(2)
        inside.append(denser.double().mean(2))
    return torch.cat(inside, 1)
