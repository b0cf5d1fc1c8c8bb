"""A hundred steps of a DBNN layer, fused and plain, with the same noise (run by
test_kernels_interpreted)."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from comvae.engine.fused import (
    BatchNormalised,
    FusedAdam,
    LowRankGradient,
    Scaled,
    dynamic_linear,
    dynamic_linear_reference,
    low_rank_map,
)
from comvae.model.priors import ScaleMixturePrior
from comvae.model.weight_kl import WeightKL

SEEDS, FAN_OUT, FAN_IN, BATCH, STEPS = 1, 2, 6, 7, 100
SIZE = 2 * FAN_OUT * (FAN_IN + 1)
MIXTURE = WeightKL(ScaleMixturePrior())


@dataclass
class Layer:
    """A DBNN layer as `comvae.model.layers` has it, the last input being 1."""

    fused: bool
    normalised: bool
    dtype: torch.dtype = torch.float32
    nats: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        start = torch.rand(SEEDS, SIZE, FAN_IN, generator=generator) - 0.5
        self.map = nn.Parameter(start.to(self.dtype))
        full = torch.ones(SEEDS, SIZE, dtype=self.dtype)
        self.gamma = nn.Parameter(0.3 * full)
        self.beta = nn.Parameter(full.mul(torch.arange(SIZE) >= SIZE // 2) * -3)
        self.running = [0 * full, full.clone()]
        self.gradient = LowRankGradient(self.map)
        params = [self.map, self.gamma, self.beta] if self.normalised else [self.map]
        if self.fused:
            self.optimiser = FusedAdam(params, lr=1e-3, low_rank=[self.gradient])
        else:
            self.optimiser = torch.optim.Adam(params, lr=1e-3)

    def step(self, x: Tensor, target: Tensor, eps: Tensor, kl: WeightKL | None) -> None:
        x, target, eps = (t.to(self.dtype) for t in (x, target, eps))
        inputs = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        maps = (
            low_rank_map(self.map, x, self.gradient) if self.fused else self.map @ x
        ).view(SEEDS, 2, FAN_OUT, FAN_IN + 1, BATCH)
        if self.normalised:
            norm = BatchNormalised(self.gamma, self.beta, *self.running)
        else:
            norm = Scaled(self.gamma[0].detach(), self.beta[0].detach())
        function = dynamic_linear if self.fused else dynamic_linear_reference
        h, nats = function(maps, inputs, eps, norm, kl)
        self.optimiser.zero_grad()
        ((h - target).square().sum() + 0.01 * nats.sum()).backward()
        self.optimiser.step()
        self.nats.append(nats.detach())

    def state(self) -> list[Tensor]:
        of_map = self.optimiser.state[self.map]
        return [
            self.map.detach(),
            of_map["exp_avg"],
            of_map["exp_avg_sq"].sqrt(),
            self.gamma.detach(),
            self.beta.detach(),
            *self.running,
            torch.stack(self.nats),
        ]


@pytest.mark.parametrize("normalised", [True, False])
def test_a_hundred_fused_steps_are_a_hundred_plain_steps(normalised):
    """Every fourth with a weight KL, which needs a draw for each weight."""
    fused, plain = (Layer(fused, normalised) for fused in (True, False))
    exact = Layer(False, normalised, torch.float64)
    start = fused.map.detach().clone()
    generator = torch.Generator().manual_seed(2)
    for number in range(STEPS):
        x = torch.rand(SEEDS, FAN_IN, BATCH, generator=generator)
        target = torch.randn(SEEDS, FAN_OUT, BATCH, generator=generator)
        kl = MIXTURE if number % 4 == 0 else None
        each = () if kl is None else (FAN_IN + 1,)
        eps = torch.randn(SEEDS, FAN_OUT, *each, BATCH, generator=generator)
        for layer in (fused, plain, exact):
            layer.step(x, target, eps, kl)
    assert (fused.map - start).abs().mean() > 0.005
    for ours, theirs, right in zip(
        fused.state(), plain.state(), exact.state(), strict=True
    ):
        # the narrow spike amplifies the rounding of any float32, PyTorch's too
        rounding = (theirs - right).abs().max().item()
        scale = right.abs().max().item()
        assert (ours - right).abs().max().item() <= 5 * rounding + 1e-6 * scale
    assert (fused.map - exact.map).abs().max() < 1e-5
