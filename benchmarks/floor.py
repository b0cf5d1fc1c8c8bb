"""The floor of a step: what the hardware needs at the least.

The larger of two times: the bytes that must be moved, at the bandwidth of a copy, and
the floating point operations of the matrix products, at the rate of a large product.
Both rates are measured in the same run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import Marks
from benchmarks.plain import plain_vae
from comvae.study.settings import RunConfig

BYTES_PER_PARAMETER = 4 * (1 + 3 + 3)
"""float32: read in the forward pass; Adam reads and writes it and its two moments."""

LEAST_SECONDS = 0.1  # that a rate is measured for
SMALLEST_COPY = {"cpu": 2**20, "cuda": 2**28}  # bytes; a GPU's copy starts slowly
LARGEST_COPY = 2**29
PRODUCT = {"cpu": 1024, "cuda": 8192}  # rows and columns of the large product


@dataclass(frozen=True)
class Floor:
    """The least a step of one seed needs."""

    bytes: int
    flops: int
    bandwidth: float  # bytes per second
    rate: float  # floating point operations per second

    @property
    def milliseconds(self) -> float:
        """Per step and seed."""
        return 1e3 * max(self.bytes / self.bandwidth, self.flops / self.rate)


def floor_of(config: RunConfig, pixels: int, device: torch.device) -> Floor:
    """The floor of a step of the config's block, for one of its seeds.

    A copy is as large as the parameters and moments of the block, so that what fits
    into a CPU's cache is measured there.
    """
    parameters, flops = work(config, pixels)
    state = 4 * 3 * parameters * len(config.seeds)
    smallest = SMALLEST_COPY[device.type]
    size = min(max(state // 2, smallest), LARGEST_COPY)
    return Floor(
        bytes=BYTES_PER_PARAMETER * parameters,
        flops=flops,
        bandwidth=copy_bandwidth(size, device),
        rate=product_rate(device),
    )


def work(config: RunConfig, pixels: int) -> tuple[int, int]:
    """Parameters of one seed, and operations of its matrix products in one step.

    Counted on the plain model without memory: 2 operations for a multiplication and an
    addition, forwards and backwards; the image's gradient is not needed.
    """
    with torch.device("meta"):
        model = plain_vae(config, pixels)
        x = torch.empty(config.training.batch_size, pixels)
        with FlopCounterMode(display=False) as counter:
            sum(model(x)).backward()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, counter.get_total_flops()


@cache
def copy_bandwidth(size: int, device: torch.device) -> float:
    """Bytes per second of a copy of `size` bytes, read and written ones together."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), device)


@cache
def product_rate(device: torch.device) -> float:
    """Operations per second of a large product of float32 matrices."""
    side = PRODUCT[device.type]
    a, b = torch.rand(2, side, side, device=device)
    out = torch.empty_like(a)
    return 2 * side**3 / _seconds(lambda: torch.mm(a, b, out=out), device)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call in a queue of many; the best of three."""
    repeats = 1
    while _timed(call, repeats, device) < LEAST_SECONDS:
        repeats *= 2
    return min(_timed(call, repeats, device) for _ in range(3)) / repeats


def _timed(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    marks = Marks(device)
    marks()
    for _ in range(repeats):
        call()
    marks()
    before, after = marks.moments
    return after - before
