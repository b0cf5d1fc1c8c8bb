"""The terms of the objective and their weights (paper, sections 2.1 and 2.2.2)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from comvae.model.options import ModelOptions


@dataclass(frozen=True)
class Terms:
    """The terms of one forward pass, in nats.

    `reconstruction` and `latent_kl` are (seeds, batch); `weight_kl` is (seeds,), the KL
    of all weights of the encoder. An objective other than the ELBO gives the negative
    of its own bound, (seeds, batch), which is minimised in place of the ELBO's.
    """

    reconstruction: Tensor
    latent_kl: Tensor
    weight_kl: Tensor
    negative_bound: Tensor | None = None


def minibatch_loss(
    terms: Terms, complexity_weight: float | Tensor | None, options: ModelOptions
) -> Tensor:
    """Loss of each seed's minibatch i, (seeds,).

    Mean over the images of (reconstruction + latent KL), plus pi_i times the weight KL
    (eq. 5), which is left out where the weight is None. `options.data_term` may ask for
    the sum over the images instead.
    """
    data = terms.negative_bound
    if data is None:
        data = terms.reconstruction + terms.latent_kl
    data = data.mean(1) if options.data_term == "mean" else data.sum(1)
    if complexity_weight is None:
        return data
    return data + complexity_weight * terms.weight_kl


def complexity_weights(scheme: str, minibatches: int) -> Tensor:
    """pi_1 .. pi_M of the weight KL in the M minibatches of an epoch, float64 (M,).

    `blundell`: 2^-i / (1 - 2^-M), which sums to 1 (Blundell et al. 2015, whose formula
    is misprinted in the paper's section 2.2.2); `uniform`: 1/M; `none`: 1. Computed
    through exponents, because 2^M overflows.
    """
    if scheme == "blundell":
        i = torch.arange(1, minibatches + 1, dtype=torch.float64)
        return torch.exp(-i * math.log(2) - math.log1p(-math.ldexp(1, -minibatches)))
    weight = 1 / minibatches if scheme == "uniform" else 1.0
    return torch.full((minibatches,), weight, dtype=torch.float64)


def reconstruction_loss(likelihood: str, logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x given z) of each image in nats, summed over the last axis (pixels).

    `bernoulli`: cross-entropy of x in [0, 1]; `continuous-bernoulli` subtracts the log
    of its normalising constant (Loaiza-Ganem and Cunningham 2019).
    """
    logits, x = torch.broadcast_tensors(logits, x)
    nats = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    if likelihood == "continuous-bernoulli":
        nats = nats - _log_normaliser(logits)
    return nats.sum(-1)


def _log_normaliser(logits: Tensor) -> Tensor:
    """log C = log(l / tanh(l / 2)) of the continuous Bernoulli with logit l."""
    near_zero = logits.abs() < 1e-2
    # where() passes the gradient of both branches on: keep the unused one finite
    safe = torch.where(near_zero, torch.ones_like(logits), logits)
    exact = (safe / torch.tanh(safe / 2)).log()
    series = math.log(2) + logits**2 / 12
    return torch.where(near_zero, series, exact)
