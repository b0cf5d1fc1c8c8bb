"""Priors over the weights of Bayesian layers (paper, section 2.2.1).

A prior is a class here, named in the union `WeightPrior` at the end. The classes are
settings too, and settings are validated without importing torch: it is imported where a
formula needs more than the methods of a tensor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from comvae.model.settings import Number, PositiveNumber, Settings

if TYPE_CHECKING:
    from torch import Tensor

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class GaussianPrior(Settings):
    """N(0, scale^2), one and the same for every weight."""

    kind: Literal["gaussian"] = "gaussian"
    scale: PositiveNumber = Field(1.0, description="Standard deviation of a weight.")

    def log_prob(self, w: Tensor) -> Tensor:
        """Log density of each weight in nats, same shape as `w`."""
        square = w.float() ** 2
        return -math.log(self.scale) - LOG_SQRT_2PI - square * (0.5 / self.scale**2)

    def kl(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """KL(N(mu, sigma^2) to this prior) of each weight in nats, same shape."""
        ratio = sigma / self.scale
        return 0.5 * (ratio**2 + (mu / self.scale) ** 2 - 1) - ratio.log()

    def kl_gradients(self, mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of `kl` by mu and by sigma, each of the same shape."""
        precision = 1 / self.scale**2
        return mu * precision, sigma * precision - 1 / sigma

    def log_prob_and_slope(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """`log_prob` summed over each seed's weights, (seeds,), and its derivative by
        w, in the shape of w, (seeds, …)."""
        return _summed(self.log_prob(w)), w * (-1 / self.scale**2)


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

        Log-sum-exp in float32, where half precision underflows the spike's variance,
        as slab + softplus(spike - slab): a quarter of the time of `torch.logaddexp`,
        whose gradient works with subnormal numbers.
        """
        from torch.nn.functional import softplus

        square = w.float() ** 2
        log_slab = (
            math.log(self.pi / self.slab) - LOG_SQRT_2PI - square * (0.5 / self.slab**2)
        )
        return log_slab + softplus(self._log_ratio(square))

    def log_prob_and_slope(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """`log_prob` summed over each seed's weights, (seeds,), and its derivative by
        w, in the shape of w, (seeds, …)."""
        square = w * w
        log_ratio = self._log_ratio(square)
        # the spike's responsibility for w moves the precision from slab to spike
        slope = log_ratio.sigmoid()
        slope.mul_(1 / self.slab**2 - 1 / self.spike**2).sub_(1 / self.slab**2)
        # softplus(a) = -log sigmoid(-a), in a third of the time
        log_prob = square.mul_(-0.5 / self.slab**2)
        log_prob.sub_(log_ratio.neg_().sigmoid_().log_())
        constant = math.log(self.pi / self.slab) - LOG_SQRT_2PI
        return _summed(log_prob) + constant * w[0].numel(), slope.mul_(w)

    def _log_ratio(self, square: Tensor) -> Tensor:
        """log of the spike's weighted density over the slab's, from w^2."""
        at_zero = math.log(self.slab / self.spike) + math.log(1 / self.pi - 1)
        return (square * (0.5 / self.slab**2 - 0.5 / self.spike**2)).add_(at_zero)


def _summed(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


WeightPrior = Annotated[
    GaussianPrior | ScaleMixturePrior,
    Field(discriminator="kind"),
    BeforeValidator(_from_name),
]
