"""A plain layer whose weights change with the image: a hypernetwork of low rank.

The deterministic relative of a DBNN layer: instance-adaptive weights (Pollastro et al.
2026, arXiv 2604.06796), with the map from input to weights that `dynamic.rank` has.
"""

import math

import torch
from torch import Tensor, nn

from comvae.model.layers import Linear
from comvae.model.maps import NORM_EPS
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions


class AdaptiveLinear(Linear):
    """h = x (W + sum_r s_r(x) A_r) + b + sum_r s_r(x) a_r, without randomness.

    The `rank` numbers s(x) are a linear map of the layer's input, divided by its root
    mean square. All A_r and a_r start at zero, and W and b as those of `Linear`: the
    encoder starts as vanilla's.
    """

    def __init__(
        self, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__(fan_in, fan_out, options, init)
        self.rank = rank = options.adaptive.rank
        if not rank:
            return
        bound, seeds = 1 / math.sqrt(fan_in), len(init.seeds)
        self.inner = nn.Parameter(init.uniform("change", bound, fan_in, rank))
        self.change = nn.Parameter(torch.zeros(seeds, fan_in, rank * fan_out))
        self.bias_change = nn.Parameter(torch.zeros(seeds, rank, fan_out))

    def forward(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and a weight KL of zero."""
        h = self.affine(x)
        if not self.rank:
            return h, self.no_kl
        # eps: ReLU can leave a hidden vector of zeros, which has no direction
        size = (x.square().mean(2, keepdim=True) + NORM_EPS).sqrt()
        s = torch.bmm(x / size, self.inner)
        each = torch.bmm(x, self.change).unflatten(2, (self.rank, -1))
        each = each + self.bias_change.unsqueeze(1)
        return h + (s.unsqueeze(3) * each).sum(2), self.no_kl

    @staticmethod
    def size(fan_in: int, fan_out: int, options: ModelOptions) -> int:
        """Number of parameters of one seed."""
        change = options.adaptive.rank * (fan_in + (fan_in + 1) * fan_out)
        return Linear.size(fan_in, fan_out, options) + change
