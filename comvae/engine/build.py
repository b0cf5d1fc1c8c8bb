"""The model of a block before its first step."""

import torch

from comvae.model.noise import Noise
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig


def build(config: RunConfig, pixels: int, device: torch.device | str = "cpu") -> VAE:
    """A freshly initialised VAE for the seeds of `config`, on `device`.

    Initial values are drawn on the CPU, so that they are the same on every device.
    """
    init = Noise(config.seeds, "initialisation")
    training = config.training
    vae = VAE(pixels, training.hidden, training.latent, config.options, init)
    return vae.to(device)
