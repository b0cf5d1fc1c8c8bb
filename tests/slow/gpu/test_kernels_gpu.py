"""The fused kernels on a GPU: against PyTorch, in a CUDA graph, and their speed.

Run by `pytest -s tests/slow/gpu`; the sizes are those of MNIST, 784 -> 100.
"""

import pytest
import torch
from comvae.model.weight_kl import WeightKL
from torch import Tensor, nn

from comvae.engine.fused import (
    BatchNormalised,
    FusedAdam,
    LowRankGradient,
    Scaled,
    dynamic_linear,
    dynamic_linear_reference,
    low_rank_adam_,
    low_rank_adam_reference_,
    low_rank_map,
    unavailable,
)
from comvae.model.priors import GaussianPrior, ScaleMixturePrior

adam_kernel = pytest.importorskip("comvae.engine.fused.triton_adam")
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="these tests need a GPU"
)

DEVICE = "cuda"
FAN_OUT, FAN_IN, BATCH = 100, 784, 32
KLS = {
    "none": None,
    "mixture": WeightKL(ScaleMixturePrior()),
    "closed": WeightKL(GaussianPrior()),
    "sampled": WeightKL(GaussianPrior(scale=0.7), "sampled"),
}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator(DEVICE).manual_seed(seed)
    return torch.randn(*shape, generator=generator, device=DEVICE, dtype=dtype)


def assert_near(found: Tensor, exact: Tensor, off: float) -> None:
    """Within `off` of the largest value of the exact result."""
    worst = (found.double() - exact).abs().max().item()
    assert worst <= off * exact.abs().max().item(), f"off by {worst}"


def test_the_kernels_can_run_here():
    assert unavailable(DEVICE) is None


@pytest.mark.parametrize("allow_tf32,off", [(False, 2e-6), (True, 2e-3)])
@pytest.mark.parametrize(
    "seeds,rows,columns,batch",
    [(1, 2 * FAN_OUT * (FAN_IN + 1), FAN_IN, BATCH), (3, 1001, 77, 21), (2, 5, 3, 200)],
)
def test_low_rank_adam_is_adam(seeds, rows, columns, batch, allow_tf32, off):
    param = 0.1 * normal(seeds, rows, columns)
    state = [param, torch.zeros_like(param), torch.zeros_like(param)]
    single = [tensor.float() for tensor in state]
    for number in range(1, 6):
        left = normal(seeds, rows, batch, seed=number).float()
        right = normal(seeds, columns, batch, seed=-number).float()
        step = torch.tensor(float(number), device=DEVICE)
        low_rank_adam_(
            *(*single, left, right), step=step, lr=1e-3, allow_tf32=allow_tf32
        )
        low_rank_adam_reference_(
            *(*state, left.double(), right.double()), step=step, lr=1e-3
        )
    for found, exact in zip(single[1:], state[1:], strict=True):
        assert_near(found, exact, off)
    # where a gradient is near zero, its sign decides on a whole step of 1e-3
    moved = (single[0].double() - state[0]).abs()
    assert moved.mean() < (1e-4 if allow_tf32 else 1e-7)


@pytest.mark.parametrize("norm", ["batch", "scale"])
@pytest.mark.parametrize(
    "kl,draws",
    [
        ("none", "output"),
        ("closed", "output"),
        ("mixture", "weight"),
        ("sampled", "weight"),
    ],
)
@pytest.mark.parametrize(
    "seeds,fan_out,fan_in,batch",
    [(1, FAN_OUT, FAN_IN + 1, BATCH), (3, 5, 101, 27), (2, 3, 9, 130)],
)
def test_dynamic_linear_is_that_of_pytorch(
    seeds, fan_out, fan_in, batch, kl, draws, norm
):
    features = 2 * fan_out * fan_in
    of_all = (seeds, features) if norm == "batch" else (features,)
    each = (fan_in,) if draws == "weight" else ()
    maps = normal(seeds, 2, fan_out, fan_in, batch)
    inputs, eps = normal(seeds, fan_in, batch), normal(seeds, fan_out, *each, batch)
    scale, shift = 0.1 * normal(*of_all) + 0.3, 0.1 * normal(*of_all) - 1
    running = [normal(seeds, features), normal(seeds, features).abs()]
    by_h, by_nats = normal(seeds, fan_out, batch), 1e-3 * normal(seeds)

    def results(function, dtype: torch.dtype) -> list[Tensor]:
        leaves = [
            tensor.to(dtype, copy=True).requires_grad_()
            for tensor in (maps, inputs, scale, shift)
        ]
        moving = [tensor.to(dtype, copy=True) for tensor in running]
        if norm == "batch":
            how = BatchNormalised(*leaves[2:], *moving)
        else:
            how = Scaled(*(leaf.detach() for leaf in leaves[2:]))
        h, nats = function(*leaves[:2], eps.to(dtype), how, KLS[kl])
        ((h * by_h).sum() + (nats * by_nats).sum()).backward()
        trained = [*(leaf.grad for leaf in leaves[2:]), *moving]
        return [h, nats, *(leaf.grad for leaf in leaves[:2])] + (
            trained if norm == "batch" else []
        )

    exact = results(dynamic_linear_reference, torch.float64)
    plain = results(dynamic_linear_reference, torch.float32)
    fused = results(dynamic_linear, torch.float32)
    again = results(dynamic_linear, torch.float32)
    for right, theirs, ours, same in zip(exact, plain, fused, again, strict=True):
        assert torch.equal(ours, same)  # no sum depends on timing
        size = max(right.abs().max().item(), 1e-30)
        rounding = (theirs.double() - right).abs().max().item() / size
        assert_near(ours, right, 5 * rounding + 2e-6)


class Step:
    """A DBNN layer 784 -> 100 with static buffers, and its optimiser."""

    def __init__(self, fused: bool, kl: WeightKL | None) -> None:
        self.fused, self.kl = fused, kl
        size, each = 2 * FAN_OUT * (FAN_IN + 1), () if kl is None else (FAN_IN + 1,)
        start = normal(1, size, FAN_IN, dtype=torch.float32) / FAN_IN**0.5
        self.map = nn.Parameter(start)
        full = torch.ones(1, size, device=DEVICE)
        self.gamma = nn.Parameter(0.1 * full)
        rho = torch.arange(size, device=DEVICE) >= size // 2
        self.beta = nn.Parameter(full * rho * -3)
        self.running = [0 * full, full.clone()]
        self.gradient = LowRankGradient(self.map)
        self.inputs = torch.ones(1, FAN_IN + 1, BATCH, device=DEVICE)
        self.eps = torch.zeros(1, FAN_OUT, *each, BATCH, device=DEVICE)
        params = [self.map, self.gamma, self.beta]
        if fused:
            self.optimiser = FusedAdam(params, lr=1e-3, low_rank=[self.gradient])
        else:
            self.optimiser = torch.optim.Adam(params, 1e-3, fused=True, capturable=True)

    def load(self, number: int) -> None:
        x = normal(1, FAN_IN, BATCH, seed=number, dtype=torch.float32).relu()
        x[:, ::3] = 0  # pixels without ink
        self.inputs[:, :-1].copy_(x)
        self.eps.copy_(normal(*self.eps.shape, seed=-number, dtype=torch.float32))

    def __call__(self) -> None:
        x = self.inputs[:, :-1].contiguous()
        if self.fused:
            maps = low_rank_map(self.map, x, self.gradient)
        else:
            maps = torch.bmm(self.map, x)
        maps = maps.view(1, 2, FAN_OUT, FAN_IN + 1, BATCH)
        norm = BatchNormalised(self.gamma, self.beta, *self.running)
        function = dynamic_linear if self.fused else dynamic_linear_reference
        h, nats = function(maps, self.inputs, self.eps, norm, self.kl)
        self.optimiser.zero_grad()
        ((h - 1).square().sum(1).mean() + 1e-6 * nats.sum()).backward()
        self.optimiser.step()

    def captured(self, warm_up: int) -> torch.cuda.CUDAGraph:
        """The step as a graph, after `warm_up` steps on batches 0, 1, ..."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for number in range(warm_up):
                self.load(number)
                self()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self()
        return graph


@pytest.mark.parametrize("kl", ["none", "mixture"])
def test_a_hundred_replays_of_a_graph_are_a_hundred_plain_steps(kl):
    fused, plain = Step(True, KLS[kl]), Step(False, KLS[kl])
    start = fused.map.detach().clone()
    graph = fused.captured(warm_up=3)
    for number in range(100):
        plain.load(number)
        plain()
        if number >= 3:
            fused.load(number)
            graph.replay()
    for ours, theirs in zip(
        (fused.gamma, fused.beta, *fused.running),
        (plain.gamma, plain.beta, *plain.running),
        strict=True,
    ):
        assert (ours - theirs).abs().mean() < 1e-4 * theirs.abs().mean()
    moved = (plain.map - start).abs().mean()
    # rounding turns the step of a weight whose gradient is all rounding
    assert (fused.map - plain.map).abs().mean() < 1e-2 * moved


def milliseconds(work, repeats: int = 20) -> float:
    for _ in range(3):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / repeats


def test_the_update_is_near_the_bandwidth_of_a_copy(monkeypatch):
    """Other tilings are timed beside the kernel's own, to choose from."""
    rows = 2 * FAN_OUT * (FAN_IN + 1)
    param, m, v = torch.zeros(3, 1, rows, FAN_IN, device=DEVICE)
    left = normal(1, rows, BATCH, dtype=torch.float32)
    right = normal(1, FAN_IN, BATCH, dtype=torch.float32)
    step = torch.ones((), device=DEVICE)
    copy = 8 * param.numel() / milliseconds(lambda: m.copy_(v)) / 1e9
    print(f"\ncopy: {copy:.2f} TB/s")

    def rate(allow_tf32: bool) -> float:
        took = milliseconds(
            lambda: low_rank_adam_(
                *(param, m, v, left, right), step=step, lr=1e-3, allow_tf32=allow_tf32
            )
        )
        rate = 24 * param.numel() / took / 1e9
        print(f"  TF32 {allow_tf32}: {took:.3f} ms, {rate:.2f} TB/s")
        return rate

    print("low-rank Adam")
    own = [rate(allow_tf32) for allow_tf32 in (False, True)]
    names = ("BLOCK_ROWS", "BLOCK_COLUMNS", "BLOCK_BATCH", "WARPS")
    for tiling in ((32, 32, 32, 4), (32, 64, 32, 8), (64, 64, 32, 8), (64, 32, 16, 4)):
        for name, value in zip(names, tiling, strict=True):
            monkeypatch.setattr(adam_kernel, name, value)
        print(f"low-rank Adam with {tiling}")
        for allow_tf32 in (False, True):
            rate(allow_tf32)
    assert min(own) > 0.6 * copy


@pytest.mark.parametrize("kl", ["none", "mixture"])
def test_a_captured_step_of_the_layer_is_faster_than_twice_its_floor(kl):
    step = Step(True, KLS[kl])
    took = milliseconds(step.captured(warm_up=3).replay)
    source, target = torch.zeros(2, 2**27, device=DEVICE)
    copy = 8 * source.numel() / milliseconds(lambda: target.copy_(source)) / 1e9
    floor = 28 * step.map.numel() / copy / 1e9
    print(f"\nlayer 784 -> 100, KL {kl}: {took:.3f} ms, floor {floor:.3f} ms")
    assert took < 2 * floor
