"""Priors over the weights of Bayesian layers (paper, section 2.2.1).

A prior is a class here with `log_prob`, named in the union `WeightPrior` at the end.
The classes are settings too, and settings are validated without importing torch: it is
imported where a formula needs more than the methods of a tensor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from comvae.model.settings import Number, PositiveNumber, Settings

if TYPE_CHECKING:
    from torch import Tensor

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Prior(Settings, ABC):
    """One density, one and the same for every weight."""

    closed_form: ClassVar[bool] = False  # whether the prior has a method `kl`

    @abstractmethod
    def log_prob(self, w: Tensor) -> Tensor:
        """Log density of each weight in nats, same shape as `w`."""


class GaussianPrior(Prior):
    """N(0, scale^2)."""

    closed_form: ClassVar[bool] = True
    kind: Literal["gaussian"] = "gaussian"
    scale: PositiveNumber = Field(1.0, description="Standard deviation of a weight.")

    def log_prob(self, w: Tensor) -> Tensor:
        square = _single(w) ** 2
        return -math.log(self.scale) - LOG_SQRT_2PI - square * (0.5 / self.scale**2)

    def kl(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """KL(N(mu, sigma^2) to this prior) of each weight in nats, same shape."""
        ratio = sigma / self.scale
        return 0.5 * (ratio**2 + (mu / self.scale) ** 2 - 1) - ratio.log()


class ScaleMixturePrior(Prior):
    """pi N(0, slab^2) + (1 - pi) N(0, spike^2).

    `slab` and `spike` are standard deviations, not variances.
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

        Log-sum-exp, as slab + softplus(spike - slab), in float32 or more: half
        precision underflows the spike's variance, and the gradient of
        `torch.logaddexp` works with subnormal numbers, which are slow.
        """
        from torch.nn.functional import softplus

        square = _single(w) ** 2
        log_slab = (
            math.log(self.pi / self.slab) - LOG_SQRT_2PI - square * (0.5 / self.slab**2)
        )
        at_zero = math.log(self.slab / self.spike) + math.log(1 / self.pi - 1)
        excess = 0.5 / self.spike**2 - 0.5 / self.slab**2
        return log_slab + softplus(at_zero - square * excess)


def _single(w: Tensor) -> Tensor:
    return w.float() if w.dtype.itemsize < 4 else w


def _from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


WeightPrior = Annotated[
    GaussianPrior | ScaleMixturePrior,
    Field(discriminator="kind"),
    BeforeValidator(_from_name),
]
