"""The paper's layer as an ordinary PyTorch module (section 2.2).

It is the layer of `comvae.model` with one seed, whose axis is hidden, and with random
numbers from PyTorch's own generator.
"""

import torch
from torch import Tensor, nn

from comvae.model import layers
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.priors import GaussianPrior, Prior, ScaleMixturePrior

__all__ = ["DynamicBayesianLinear", "GaussianPrior", "Prior", "ScaleMixturePrior"]


class DynamicBayesianLinear(nn.Module):
    """h = w x + b with weights drawn anew for each input from a distribution that the
    input gives: a drop-in for `torch.nn.Linear`, and `kl()` for the loss.

    In training batch norm takes the statistics of the batch, which has two inputs or
    more; after `eval()` the running ones. Weights are drawn in both, as predictions
    that are averaged over draws want it; with `draw_weights = False` they stand at
    their means, and the KL is zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        prior: str | Prior = "mixture",
        *,
        batch_norm: bool = True,
        rank: int | None = None,
    ) -> None:
        """`prior` is `gaussian`, `mixture`, or a prior with a `log_prob` of its own;
        `batch_norm` normalises the maps to the weights (section 2.2.3); with `rank` r
        each of the maps is a product, in -> r -> weights.

        The layer has 2 (in + 1) out (in + 2) parameters; with a rank of r about
        2 r (in + 1) out.
        """
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.draw_weights = True
        options = ModelOptions.model_validate(
            {
                "title": "comvae.nn",
                "hidden_layer": "dynamic",
                "weight_prior": prior if isinstance(prior, str) else "gaussian",
                "batch_norm_maps": batch_norm,
                "dynamic": {"rank": rank},
            }
        )
        if isinstance(prior, Prior):  # also one that has no name
            options = options.model_copy(update={"weight_prior": prior})
        self.prior = options.weight_prior
        self.layer = layers.DynamicBayesianLinear(
            in_features, out_features, options, _TorchNoise()
        )
        self._kl: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"x: found {x.shape[-1]} features, expected {self.in_features}"
            )
        mode = Mode(
            _TorchNoise(x.device),
            sample_weights=self.draw_weights,
            batch_statistics=self.training,
            update_statistics=self.training,
        )
        inputs = x.reshape(1, -1, self.in_features)
        h, kl = self.layer(inputs, mode)
        self._kl = kl[0]
        return h.view(*x.shape[:-1], self.out_features)

    def kl(self) -> Tensor:
        """KL(q(w) to p(w)) in nats of the last forward pass, a scalar with a gradient:
        the mean over the inputs of the KL of each input's own weights."""
        if self._kl is None:
            raise RuntimeError("kl: found no forward pass yet; call the layer first")
        return self._kl

    def extra_repr(self) -> str:
        """What stands in the parentheses when the module is printed."""
        return f"{self.in_features}, {self.out_features}, prior={self.prior!r}"

    def __getstate__(self) -> dict:
        """Without the last KL: a copy has made no forward pass."""
        return self.__dict__ | {"_kl": None}


class _TorchNoise(Noise):
    """One seed's streams, all of them PyTorch's own generator."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__([0], "torch", device)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal draws, (1, *shape)."""
        return torch.randn(1, *shape, device=self.device)

    def uniform(self, purpose: str, bound: float, *shape: int) -> Tensor:
        """Uniform draws from [-bound, bound], (1, *shape)."""
        return torch.empty(1, *shape, device=self.device).uniform_(-bound, bound)
