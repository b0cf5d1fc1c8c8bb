"""An encoder that learns from the model's own images too: reverse half-asleep (Zhang,
Hayes and Barber 2022, "Generalization Gap in Amortized Inference", section 4)."""

from dataclasses import replace

import torch
from torch import Tensor

from comvae.model.mode import Mode
from comvae.model.objective import Terms
from comvae.model.vae import VAE, elbo, simulate


def half_asleep(vae: VAE, x: Tensor, mode: Mode) -> Terms:
    """The mean of ELBO(x) and ELBO(x'), one image x' from the model for each image x,
    with the terms of ELBO(x) beside it.

    The model has endless images of its own, so that an encoder cannot know them by
    heart as it can those that it is trained on.
    """
    count = x.shape[1]
    with torch.no_grad():
        _, own = simulate(vae, mode.noise, count)
    both = elbo(vae, torch.cat([x, own], 1), mode)
    nats = both.reconstruction + both.latent_kl
    return replace(
        both,
        reconstruction=both.reconstruction[:, :count],
        latent_kl=both.latent_kl[:, :count],
        negative_bound=(nats[:, :count] + nats[:, count:]) / 2,
    )
