"""The fused kernels on a GPU: against PyTorch, in a CUDA graph, and their speed.

Run by `pytest -s tests/slow/gpu`; the sizes are those of MNIST, 784 -> 100.
"""

import copy
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.fused.available import unavailable
from comvae.engine.fused.layer import FusedForward
from comvae.engine.fused.optimiser import low_rank_adam_
from comvae.engine.step import Engine
from comvae.model.layers import DynamicBayesianLinear
from tests.engine.fused.cases import KLS, layer_of, results
from tests.support import run_config

triton_adam = pytest.importorskip("comvae.engine.fused.triton_adam")
# bare `pytest` collects these on any machine; no suite of .ci/run does
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="these tests need a GPU"
)

DEVICE = "cuda"
FAN_OUT, FAN_IN, BATCH = 100, 784, 32
ROWS = 2 * FAN_OUT * (FAN_IN + 1)


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
    [(1, ROWS, FAN_IN, BATCH), (3, 1001, 77, 21), (2, 5, 3, 200)],
)
def test_low_rank_adam_is_adam(seeds, rows, columns, batch, allow_tf32, off):
    exact = torch.nn.Parameter(0.1 * normal(seeds, rows, columns))
    adam = torch.optim.Adam([exact], lr=1e-3)
    param = exact.detach().float()
    state = [param, torch.zeros_like(param), torch.zeros_like(param)]
    for number in range(1, 6):
        left = normal(seeds, rows, batch, seed=number).float()
        right = normal(seeds, columns, batch, seed=-number).float()
        step = torch.tensor(float(number), device=DEVICE)
        low_rank_adam_(*state, left, right, step=step, lr=1e-3, allow_tf32=allow_tf32)
        exact.grad = left.double() @ right.double().mT
        adam.step()
    for found, name in zip(state[1:], ("exp_avg", "exp_avg_sq"), strict=True):
        assert_near(found, adam.state[exact][name], off)
    # where a gradient is near zero, its sign decides on a whole step of 1e-3
    moved = (state[0].double() - exact.detach()).abs()
    assert moved.mean() < (1e-4 if allow_tf32 else 1e-7)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize(
    "seeds,fan_out,fan_in,batch",
    [([0], FAN_OUT, FAN_IN, BATCH), ([0, 1, 2], 5, 100, 27), ([0, 1], 3, 8, 130)],
)
def test_a_layer_is_that_of_pytorch(seeds, fan_out, fan_in, batch, kl, batch_norm):
    layer = layer_of(kl, batch_norm, seeds, fan_out, fan_in).to(DEVICE)
    exact, plain, fused, again = (
        results(copy.deepcopy(layer).to(dtype), kl, seeds, batch, fused=kernels)
        for dtype, kernels in (
            (torch.float64, False),
            (torch.float32, False),
            (torch.float32, True),
            (torch.float32, True),
        )
    )
    for right, theirs, ours, same in zip(exact, plain, fused, again, strict=True):
        assert torch.equal(ours, same)  # no sum depends on timing
        size = max(right.abs().max().item(), 1e-30)
        rounding = (theirs.double() - right).abs().max().item() / size
        assert_near(ours, right, 5 * rounding + 2e-6)


def engine(models, name: str, images: int, kernels: str = "auto") -> Engine:
    """The training of one model on images of MNIST's size, a third of them ink."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, FAN_IN), generator=generator)
    pixels[:, ::3] = 0
    pixels = pixels.to(torch.uint8)
    data = Dataset("noise", pixels, pixels[:10], pixel_max=255, height=28, width=28)
    config = run_config(
        models[name], [0], hidden=FAN_OUT, latent=5, batch_size=BATCH, kernels=kernels
    )
    return Engine(config, data, torch.device(DEVICE))


class Double(Dataset):
    """Images in float64."""

    def to_float(self, batch: Tensor) -> Tensor:
        return super().to_float(batch).double()


def exact(models, name: str, images: int) -> Engine:
    """The same training in float64, without kernels and with the same noise."""
    training = engine(models, name, images, "off")
    training.vae.double()
    data = training.dataset
    training.dataset = Double(**{f.name: getattr(data, f.name) for f in fields(data)})
    for moments in training.optimiser.state.values():
        moments |= {key: moment.double() for key, moment in moments.items()}
    normal = training.noise.normal
    training.noise.normal = lambda *draw: normal(*draw).double()
    training.alive = training.alive.double()
    return training


def without_low_rank(vae, device) -> list:
    """As `fuse`, with the gradient of the maps written out."""
    for layer in vae.modules():
        if isinstance(layer, DynamicBayesianLinear):
            layer.forward = FusedForward(layer, low_rank=False)
    return []


@pytest.mark.parametrize("name", ["compound-gaussian", "compound-mixture"])
@pytest.mark.parametrize(
    "kernels,low_rank", [("off", False), ("auto", False), ("auto", True)]
)
@pytest.mark.parametrize("captured", [True, False])
def test_each_step_is_exact(name, kernels, low_rank, captured, models, monkeypatch):
    """Graphs, kernels and low-rank gradients, each alone and together, along a training
    in float64: from each of its states, Adam's moments move as they do there."""
    if not low_rank:
        monkeypatch.setattr("comvae.engine.step.fuse", without_low_rank)
    if not captured:
        monkeypatch.setattr("comvae.engine.step.WARM_UP", 1000)
    training = engine(models, name, 100 * BATCH, kernels)
    reference = exact(models, name, 100 * BATCH)
    for each in (training, reference):
        each.begin_epoch()
    worst = 0.0
    for _ in range(60):
        training.load_state(reference.state(), reference.epoch, reference.step)
        before = first_moment(reference)
        for each in (training, reference):
            each.take_steps()
        # a tenth of the gradient, of mu and of rho
        right = first_moment(reference) - 0.9 * before
        off = first_moment(training) - first_moment(reference)
        worst = max(worst, *(off.norm(dim=(1, 2)) / right.norm(dim=(1, 2))).tolist())
    print(f"\n{name}, {kernels=}, {low_rank=}, {captured=}: off by {worst:.1e}")
    # batch norm nearly cancels the large gradient of the KL in the first steps
    assert worst < 2e-4


def first_moment(training: Engine) -> Tensor:
    """Adam's, of the first layer's maps: (2, rows, inputs), those of mu and of rho."""
    maps = training.vae.encoder.hidden[0].maps.map
    moment = training.optimiser.state[maps]["exp_avg"].double()
    return moment.reshape(2, -1, maps.shape[-1]).clone()


def milliseconds(work, repeats: int = 20) -> float:
    for _ in range(5):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / repeats


def terabytes_a_second() -> float:
    """Of a copy, reading and writing counted."""
    source, target = torch.zeros(2, 2**27, device=DEVICE)
    return 8 * source.numel() / milliseconds(lambda: target.copy_(source)) / 1e9


def test_the_update_is_near_the_bandwidth_of_a_copy(monkeypatch):
    """Other tilings are timed beside the kernel's own, to choose from."""
    param, m, v = torch.zeros(3, 1, ROWS, FAN_IN, device=DEVICE)
    left = normal(1, ROWS, BATCH, dtype=torch.float32)
    right = normal(1, FAN_IN, BATCH, dtype=torch.float32)
    step, copied = torch.ones((), device=DEVICE), terabytes_a_second()
    names = ("TILE_ROWS", "TILE_COLUMNS", "TILE_BATCH", "WARPS")
    own = tuple(getattr(triton_adam, name) for name in names)
    others = (32, 32, 32, 4), (32, 64, 32, 8), (64, 64, 32, 8), (64, 32, 16, 4)
    rates = {}
    for tiling in (own, *others):
        for name, value in zip(names, tiling, strict=True):
            monkeypatch.setattr(triton_adam, name, value)
        for allow_tf32 in (False, True):

            def update(allow_tf32: bool = allow_tf32) -> None:
                low_rank_adam_(
                    param, m, v, left, right, step=step, lr=1e-3, allow_tf32=allow_tf32
                )

            rates[tiling, allow_tf32] = 24 * param.numel() / milliseconds(update) / 1e9
    print(f"\ncopy: {copied:.2f} TB/s")
    for (tiling, allow_tf32), rate in rates.items():
        print(f"low-rank Adam, tiles {tiling}, TF32 {allow_tf32}: {rate:.2f} TB/s")
    assert min(rates[own, False], rates[own, True]) > 0.6 * copied


def test_a_captured_step_is_faster_than_twice_its_floor(models):
    """The maps are read forwards, and with both moments read and written by Adam."""
    training = engine(models, "compound-mixture", 100 * BATCH)
    training.begin_epoch()
    took = milliseconds(training.take_steps)
    bytes_moved = 28 * training.vae.encoder.hidden[0].maps.map.numel()
    floor = bytes_moved / terabytes_a_second() / 1e9
    print(f"\ncompound-mixture, 784 -> 100: {took:.3f} ms, floor {floor:.3f} ms")
    assert took < 2 * floor


def test_images_drawn_anew_are_the_same_in_a_graph(models, monkeypatch):
    """Ten steps after the step was captured, and as many without a graph."""
    found = []
    for warm_up in (3, 1000):
        monkeypatch.setattr("comvae.engine.step.WARM_UP", warm_up)
        training = engine(models, "vanilla", 100 * BATCH)
        training._redrawn = True
        training.begin_epoch()
        for _ in range(13):
            training.take_steps()
        found.append(training.means()["reconstruction"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
