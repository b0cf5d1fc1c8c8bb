"""The floor of a step: what the hardware needs at the least.

The larger of two times: the bytes that must be moved, at the bandwidth of a copy, and
the floating point operations of the matrix products, at the rate of a large product.
Both rates are measured in the same run.
"""

from functools import cache

import torch
from torch import Tensor
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.loop import training_mode
from comvae.engine.build import build
from comvae.study.run_config import RunConfig

BYTES_PER_PARAMETER = 4 * (1 + 3 + 3)
"""float32: read in the forward pass; Adam reads and writes it and its two moments."""

SMALLEST_COPY = {"cpu": 2**20, "cuda": 2**28}  # bytes; a GPU's copy starts slowly
LARGEST_COPY = 2**29
PRODUCT = {"cpu": 1024, "cuda": 8192}  # rows and columns of the large product


def floor_of(config: RunConfig, pixels: int, device: torch.device) -> dict[str, float]:
    """What a step of the config's block moves, computes and lasts at least, per seed.

    A copy is as large as the parameters and moments of the block, so that what fits
    into a CPU's cache is measured there.
    """
    parameters, flops = work(config, pixels)
    state = 4 * 3 * parameters * len(config.seeds)
    size = min(max(state // 2, SMALLEST_COPY[device.type]), LARGEST_COPY)
    moved = BYTES_PER_PARAMETER * parameters
    seconds = max(moved / copy_bandwidth(size, device), flops / product_rate(device))
    return {
        "megabytes": moved / 1e6,
        "megaflops": flops / 1e6,
        "floor_ms": 1e3 * seconds,
    }


def work(config: RunConfig, pixels: int) -> tuple[int, int]:
    """Parameters of one seed, and operations of its matrix products in one step.

    2 operations for a multiplication and an addition, forwards and backwards; the
    image's gradient is not needed.
    """
    one = config.model_copy(update={"seeds": config.seeds[:1]})
    vae = build(one, pixels)
    x = torch.rand(1, config.training.batch_size, pixels)
    with FlopCounterMode(display=False) as counter:
        terms = vae(x, training_mode(one, torch.device("cpu")))
        loss = terms.reconstruction.sum() + terms.latent_kl.sum() + terms.weight_kl
        loss.sum().backward()
    return vae.parameters_per_seed(), counter.get_total_flops()


@cache
def copy_bandwidth(size: int, device: torch.device) -> float:
    """Bytes per second of a copy of `size` bytes, read and written ones together."""
    a, b = torch.ones(2, size // 4, device=device)
    return 2 * size / _seconds("b.copy_(a)", a=a, b=b)


@cache
def product_rate(device: torch.device) -> float:
    """Operations per second of a large product of float32 matrices."""
    side = PRODUCT[device.type]
    a, b, c = torch.rand(3, side, side, device=device)
    return 2 * side**3 / _seconds("torch.mm(a, b, out=c)", a=a, b=b, c=c)


def _seconds(statement: str, **tensors: Tensor) -> float:
    """The fastest mean of the statement in a queue of many."""
    timer = Timer(statement, globals=tensors, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange().times)
