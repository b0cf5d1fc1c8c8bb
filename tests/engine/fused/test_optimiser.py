"""Low-rank maps, and Adam; the kernel of the maps is in interpreted/adam.py."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from comvae.engine.fused import FusedAdam, LowRankGradient
from comvae.engine.fused.available import unavailable
from comvae.engine.fused.low_rank import low_rank_map

SEEDS, ROWS, COLUMNS, BATCH = 2, 6, 4, 5


class Two(nn.Module):
    """Two maps, one after the other, and a vector between them."""

    def __init__(self, low_rank: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = (
            nn.Parameter(torch.randn(SEEDS, *shape, generator=generator))
            for shape in ((ROWS, COLUMNS), (3, ROWS))
        )
        self.shift = nn.Parameter(torch.randn(SEEDS, ROWS, 1, generator=generator))
        self.gradients = [LowRankGradient(self.first), LowRankGradient(self.second)]
        if not low_rank:
            self.gradients = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.gradients:
            return self.second @ torch.tanh(self.first @ x + self.shift)
        first, second = self.gradients
        h = torch.tanh(low_rank_map(self.first, x, first) + self.shift)
        return low_rank_map(self.second, h, second)

    def step(self, optimiser: FusedAdam | torch.optim.Adam, x: torch.Tensor) -> None:
        optimiser.zero_grad()
        self(x).square().sum().backward()
        optimiser.step()


def batches(steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, SEEDS, COLUMNS, BATCH, generator=generator)


def optimiser_of(model: Two) -> FusedAdam:
    return FusedAdam(model.parameters(), lr=1e-3, low_rank=model.gradients)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_low_rank_map_is_the_product_and_its_gradients():
    factors, dense = Two(low_rank=True), Two(low_rank=False)
    x = batches(1)[0]
    x_factors, x_dense = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = factors(x_factors), dense(x_dense)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x_factors.grad, x_dense.grad)
    torch.testing.assert_close(factors.shift.grad, dense.shift.grad)
    for gradient, name in zip(factors.gradients, ("first", "second"), strict=True):
        assert gradient.param.grad is None
        torch.testing.assert_close(gradient.dense(), getattr(dense, name).grad)


def test_a_second_backward_pass_before_a_step_is_refused():
    model, (x, y) = Two(low_rank=True), batches(2)
    model(x).sum().backward()
    with pytest.raises(RuntimeError, match=r"step\(\) or zero_grad\(\)"):
        model(y).sum().backward()
    optimiser_of(model).zero_grad()
    model(y).sum().backward()


def test_a_hundred_steps_are_those_of_torch():
    model, reference = Two(low_rank=False), Two(low_rank=False)
    ours = optimiser_of(model)
    theirs = torch.optim.Adam(reference.parameters(), lr=1e-3)
    for x in batches(100):
        model.step(ours, x)
        reference.step(theirs, x)
    assert_same(model, reference)
    assert ours.steps == 100
    for own, other in zip(model.parameters(), reference.parameters(), strict=True):
        for name, value in ours.state[own].items():
            torch.testing.assert_close(
                value, theirs.state[other][name], rtol=1e-4, atol=1e-5
            )


def test_a_step_without_a_gradient_is_refused():
    with pytest.raises(RuntimeError, match="no gradient"):
        Two(low_rank=True).gradients[0].take()


def test_a_map_that_is_no_parameter_of_the_optimiser_is_refused():
    model = Two(low_rank=True)
    with pytest.raises(ValueError, match="low_rank"):
        FusedAdam([model.first], lr=1e-3, low_rank=model.gradients)


def test_training_does_not_import_the_compiler_of_pytorch():
    """It takes longer to import than PyTorch itself."""
    code = (
        "import sys, torch, comvae.engine.training;"
        "from comvae.engine.fused import FusedAdam;"
        "p = torch.nn.Parameter(torch.ones(2)); p.grad = torch.ones(2);"
        "o = FusedAdam([p], lr=0.1); o.step(); assert p[0] < 0.91;"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_kernels_say_why_they_cannot_run_on_a_cpu():
    assert "cuda" in unavailable("cpu") or "Triton" in unavailable("cpu")


def test_the_package_imports_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None;"
        "import comvae.engine.fused.available as k;"
        "assert k.unavailable('cpu') == 'Triton is not installed'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
