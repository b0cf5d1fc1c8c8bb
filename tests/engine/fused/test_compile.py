"""The fused kernels compile for an H100, without a GPU: ptxas comes with Triton.

Triton's interpreter forgives what the compiler refuses, so that tests with it alone
would not do. The arguments are those of the real launches.
"""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from comvae.engine.fused import (
    BatchNormalised,
    Scaled,
    dynamic_linear,
    low_rank_adam_,
)
from comvae.model.priors import GaussianPrior, ScaleMixturePrior
from comvae.model.weight_kl import WeightKL

triton = pytest.importorskip("triton", reason="Triton exists for Linux only")

SEEDS, FAN_OUT, FAN_IN, BATCH = 1, 3, 785, 32
KLS = {
    "none": None,
    "mixture": WeightKL(ScaleMixturePrior()),
    "closed": WeightKL(GaussianPrior()),
    "sampled": WeightKL(GaussianPrior(), "sampled"),
}


class Hopper:
    """What Triton asks of a driver in order to compile."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self):
        return triton.backends.compiler.GPUTarget("cuda", 90, 32)


@pytest.fixture
def compiled(monkeypatch, tmp_path) -> list:
    """Kernels that would have been launched, compiled for an H100 instead."""
    from triton.runtime.driver import driver

    kernels = []
    run = triton.JITFunction.run

    def compile_only(self, *args, grid, warmup, **kwargs):
        kernels.append(run(self, *args, grid=grid, warmup=True, **kwargs))

    monkeypatch.setattr(triton.JITFunction, "run", compile_only)
    monkeypatch.setattr(driver, "_active", Hopper())
    monkeypatch.setattr("comvae.engine.fused.formula.interpreted", lambda: True)
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path)
        yield kernels


@pytest.mark.parametrize(
    "rows,batch,allow_tf32",
    [
        (2 * FAN_OUT * FAN_IN, BATCH, False),
        (2 * FAN_OUT * FAN_IN, BATCH, True),
        (101, 7, False),
    ],
)
def test_low_rank_adam_compiles(compiled, rows, batch, allow_tf32):
    state = [torch.zeros(SEEDS, rows, 784) for _ in range(3)]
    left, right = torch.zeros(SEEDS, rows, batch), torch.zeros(SEEDS, 784, batch)
    low_rank_adam_(
        *(*state, left, right), step=torch.ones(()), lr=1e-3, allow_tf32=allow_tf32
    )
    (kernel,) = compiled
    assert ("wgmma" in kernel.asm["ptx"]) == allow_tf32
    registers, spilled = resources(kernel)
    assert spilled == 0 and registers <= 168  # three programs on a multiprocessor
    if batch == BATCH:  # each row starts at a multiple of 16 bytes
        assert kernel.asm["ptx"].count("st.global.v4") == 12  # 16 bytes a thread each


@pytest.mark.parametrize(
    "kl,draws,norm,fan_in,batch,inputs_need_gradient",
    [
        ("none", "output", "batch", FAN_IN, BATCH, False),
        ("none", "output", "batch", FAN_IN, BATCH, True),
        ("none", "output", "scale", 101, 20, True),
        ("closed", "output", "batch", FAN_IN, BATCH, False),
        ("mixture", "weight", "batch", FAN_IN, BATCH, False),
        ("mixture", "weight", "batch", FAN_IN, BATCH, True),
        ("mixture", "weight", "scale", 101, 500, True),
        ("sampled", "weight", "batch", FAN_IN, BATCH, False),
    ],
)
def test_dynamic_linear_compiles(
    compiled, kl, draws, norm, fan_in, batch, inputs_need_gradient
):
    maps = torch.zeros(SEEDS, 2, FAN_OUT, fan_in, batch, requires_grad=True)
    inputs = torch.zeros(SEEDS, fan_in, batch, requires_grad=inputs_need_gradient)
    each = (fan_in,) if draws == "weight" else ()
    eps = torch.zeros(SEEDS, FAN_OUT, *each, batch)
    features = torch.zeros(SEEDS, 2 * FAN_OUT * fan_in)
    norms = {
        "batch": BatchNormalised(*(features.clone() for _ in range(4))),
        "scale": Scaled(features[0], features[0]),
    }
    h, nats = dynamic_linear(maps, inputs, eps, norms[norm], KLS[kl])
    (h.sum() + nats.sum()).backward()
    names = [kernel.name for kernel in compiled]
    drawn = ["draw_kernel"] * (draws == "output")
    assert names == ["forward_kernel", *drawn, "backward_kernel"]
    for kernel in compiled:
        registers, spilled = resources(kernel)
        assert spilled <= 64  # a few values at most
        assert registers <= 168 or batch != BATCH


def resources(kernel) -> tuple[int, int]:
    """Registers of a thread, and bytes of its stack, where registers are spilled to."""
    cuobjdump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    cubin = Path(triton.knobs.cache.dir) / "kernel.cubin"
    cubin.write_bytes(kernel.asm["cubin"])
    usage = subprocess.run(
        [cuobjdump, "--dump-resource-usage", cubin],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return int(registers), int(stack)
