"""KL(q(w) to p(w)) of Bayesian weights, with its derivatives (paper, section 2.2.1).

Each weight is w = mu + sigma eps. Where the prior has a closed form it is used; else
the one-sample estimate log q(w) - log p(w) with the very weights of the data term.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from comvae.model.priors import LOG_SQRT_2PI, WeightPrior


class Value(NamedTuple):
    """Each seed's sum of the KL in nats, (seeds,), and its derivatives by mu and by
    sigma, in the shape of the weights; None where no gradient is wanted."""

    nats: Tensor
    by_mu: Tensor | None = None
    by_sigma: Tensor | None = None


@dataclass(frozen=True)
class WeightKL:
    """What all Bayesian layers of a model share."""

    prior: WeightPrior
    estimate: str = "auto"
    over_images: str = "mean"

    @property
    def closed_form(self) -> bool:
        """Whether the KL needs no weights, mu and sigma alone."""
        return self.estimate == "auto" and hasattr(self.prior, "kl")

    def __call__(
        self,
        mu: Tensor,
        sigma: Tensor,
        eps: Tensor | None,
        w: Tensor | None,
        with_gradients: bool,
    ) -> Value:
        """The KL of weights (seeds, …): each seed's sum in nats, and derivatives."""
        if self.closed_form:
            value = summed(self.prior.kl(mu, sigma))
            if not with_gradients:
                return Value(value)
            return Value(value, *self.prior.kl_gradients(mu, sigma))
        log_p, slope = self.prior.log_prob_and_slope(w)
        log_q = -0.5 * dot(eps, eps) - summed(sigma.log()) - LOG_SQRT_2PI * w[0].numel()
        value = log_q - log_p
        if not with_gradients:
            return Value(value)
        by_mu = slope.neg_()
        return Value(value, by_mu, (by_mu * eps).sub_(sigma.reciprocal()))


def summed(values: Tensor) -> Tensor:
    """Each seed's sum, (seeds, …) -> (seeds,)."""
    return values.flatten(1).sum(1)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Each seed's inner product, (seeds, …) twice -> (seeds,)."""
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(2)).view(-1)


def total(kl: WeightKL, mu: Tensor, sigma: Tensor, eps: Tensor, w: Tensor) -> Tensor:
    """Each seed's sum of the KL of weights (seeds, …) in nats, (seeds,); for autograd
    a function of `mu` and `sigma` alone."""
    return _Total.apply(kl, mu, sigma, eps, w.detach())


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, kl: WeightKL, mu: Tensor, sigma: Tensor, *drawn: Tensor
    ) -> Tensor:
        found = kl(mu, sigma, *drawn, any(ctx.needs_input_grad))
        ctx.save_for_backward(found.by_mu, found.by_sigma)
        return found.nats

    @staticmethod
    def backward(ctx: FunctionCtx, by_nats: Tensor) -> tuple[Any, ...]:
        by_mu, by_sigma = ctx.saved_tensors
        scale = by_nats.view(-1, *[1] * (by_mu.ndim - 1))
        return None, scale * by_mu, scale * by_sigma, None, None
