"""A decoder and an encoder that are trained through steps of SVI (Kim, Wiseman, Miller,
Sontag and Rush 2018, "Semi-Amortized Variational Autoencoders")."""

from dataclasses import replace

import torch
from torch import Tensor

from comvae.model.mode import Mode
from comvae.model.objective import Terms, reconstruction_loss
from comvae.model.svi import ascend
from comvae.model.vae import VAE


def sa_vae(vae: VAE, x: Tensor, mode: Mode) -> Terms:
    """The ELBO of q(z given x) after `svi.steps` steps from what the encoder gives.

    Its gradient goes through all steps: the encoder learns to be a good start. A step
    has one draw of z, whatever `svi.draws` says.
    """
    settings = vae.options.svi.model_copy(update={"draws": 1})
    start, weight_kl = vae.encoder(x, mode)

    def log_likelihood(z: Tensor) -> Tensor:
        logits = vae.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
        return -reconstruction_loss(vae.options.likelihood, logits, x.unsqueeze(2))

    through = torch.is_grad_enabled()
    *_, q = ascend(start, log_likelihood, settings, mode.noise, through)
    terms = vae.terms(x, q, weight_kl, mode)
    return replace(terms, negative_bound=terms.reconstruction + terms.latent_kl)
