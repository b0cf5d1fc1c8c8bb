"""What the kernels of a DBNN layer compute: the weight KL as numbers."""

import math
from dataclasses import dataclass

from comvae.model.layers import in_closed_form
from comvae.model.options import ModelOptions
from comvae.model.priors import GaussianPrior, ScaleMixturePrior


@dataclass(frozen=True)
class Formula:
    """The weight KL as the kernels compute it, for w = mu + sigma eps.

    `sampled`: -eps^2 / 2 - log sigma + constant + half w^2, less softplus(log_ratio -
    excess w^2) for a `mixture`; `closed`: half (mu^2 + sigma^2) - log sigma + constant;
    `none`: no KL.
    """

    kind: str = "none"
    constant: float = 0.0
    half: float = 0.0
    log_ratio: float = 0.0
    excess: float = 0.0


def without_kernel(options: ModelOptions) -> str:
    """Why the kernels do not know a layer with these options; empty where they do."""
    if not options.weight_noise:
        return "its weights are not random"
    if type(options.weight_prior) not in (GaussianPrior, ScaleMixturePrior):
        return f"there is no kernel for the weight prior {options.weight_prior!r}"
    return ""


def formula_of(options: ModelOptions, with_kl: bool) -> Formula:
    """The formula of a layer whose prior the kernels know."""
    prior = options.weight_prior
    if not with_kl:
        return Formula()
    if isinstance(prior, GaussianPrior):
        half, constant = 0.5 / prior.scale**2, math.log(prior.scale)
        if in_closed_form(options):
            return Formula("closed", constant - 0.5, half)
        return Formula("sampled", constant, half)
    half = 0.5 / prior.slab**2
    return Formula(
        "mixture",
        # log q has the same -log sqrt(2 pi) as the log density of the slab
        constant=-math.log(prior.pi / prior.slab),
        half=half,
        log_ratio=math.log(prior.slab / prior.spike) + math.log(1 / prior.pi - 1),
        excess=0.5 / prior.spike**2 - half,
    )
