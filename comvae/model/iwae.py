"""The importance-weighted bound (Burda, Grosse and Salakhutdinov 2016)."""

import math
from dataclasses import replace

from torch import Tensor

from comvae.model.mode import Mode
from comvae.model.objective import Terms, reconstruction_loss
from comvae.model.posterior import log_prior
from comvae.model.vae import VAE, elbo


def iwae(vae: VAE, x: Tensor, mode: Mode) -> Terms:
    """log 1/K sum_k p(x, z_k) / q(z_k given x), with the terms of the ELBO beside it.

    K is `latent_draws`; with one draw it is the ELBO. The gradient is doubly
    reparameterised (Tucker et al. 2019, eq. 8): that of the encoder is the sum of
    w_k^2 d log(p/q) / dz_k dz_k / dphi over the draws, whose shares of the weight w_k
    are; it has the mean of the plain gradient and less variance. That of the decoder is
    the plain one.
    """
    draws = vae.options.latent_draws
    if draws == 1:
        terms = elbo(vae, x, mode)
        return replace(terms, negative_bound=terms.reconstruction + terms.latent_kl)
    posterior, weight_kl = vae.encoder(x, mode)
    z = posterior.rsample(mode.noise.normal("latents", x.shape[1], draws, vae.latent))
    logits = vae.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
    nats = reconstruction_loss(vae.options.likelihood, logits, x.unsqueeze(2))
    log_weights = log_prior(z) - posterior.detached().log_prob(z) - nats
    if z.requires_grad:
        shares = log_weights.detach().softmax(2).unsqueeze(3)
        z.register_hook(lambda by_z: shares * by_z)  # by_z has them once already
    bound = log_weights.logsumexp(2) - math.log(draws)
    return Terms(nats.mean(2), posterior.kl(z), weight_kl, -bound)
