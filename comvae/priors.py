"""Priors over the weights of Bayesian layers (paper, section 2.2.1).

A prior is a class here, named in the union `WeightPrior` at the end. The formulas
use tensor methods alone, so that settings can be validated without importing torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from comvae.settings import Number, Settings

if TYPE_CHECKING:
    from torch import Tensor

PositiveNumber = Annotated[Number, Field(gt=0)]


class GaussianPrior(Settings):
    """N(0, scale^2), one and the same for every weight."""

    kind: Literal["gaussian"] = "gaussian"
    scale: PositiveNumber = Field(1.0, description="Standard deviation of a weight.")

    def log_prob(self, w: Tensor) -> Tensor:
        """Log density of each weight in nats, same shape as `w`."""
        return normal_log_prob(w.float(), self.scale)

    def kl(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """KL(N(mu, sigma^2) to this prior) of each weight in nats, same shape."""
        ratio = sigma / self.scale
        return 0.5 * (ratio**2 + (mu / self.scale) ** 2 - 1) - ratio.log()


class ScaleMixturePrior(Settings):
    """pi N(0, slab^2) + (1 - pi) N(0, spike^2), one and the same for every weight.

    `slab` and `spike` are standard deviations, not variances. The mixture has no
    closed-form KL: it is estimated from the sampled weights.
    """

    kind: Literal["mixture"] = "mixture"
    pi: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.5, description="Probability of the slab."
    )
    slab: PositiveNumber = Field(1.0, description="Standard deviation of the slab.")
    spike: PositiveNumber = Field(
        math.exp(-6),
        description="Standard deviation of the spike; the paper's exp(-6).",
    )

    def log_prob(self, w: Tensor) -> Tensor:
        """Log density of each weight in nats, same shape as `w`.

        Log-sum-exp in float32: half precision underflows the spike's variance.
        """
        w = w.float()
        slab = normal_log_prob(w, self.slab) + math.log(self.pi)
        spike = normal_log_prob(w, self.spike) + math.log1p(-self.pi)
        return slab.logaddexp(spike)


def normal_log_prob(deviation: Tensor, scale: float | Tensor) -> Tensor:
    """Log density of N(0, scale^2) at `deviation`, elementwise, in nats."""
    log_scale = math.log(scale) if isinstance(scale, float) else scale.log()
    return -0.5 * (deviation / scale) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


WeightPrior = Annotated[
    GaussianPrior | ScaleMixturePrior,
    Field(discriminator="kind"),
    BeforeValidator(_from_name),
]
