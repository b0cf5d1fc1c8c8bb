"""The fused kernels compile for an H100, without a GPU: ptxas comes with Triton.

Triton's interpreter forgives what the compiler refuses, so that tests with it alone
would not do. The arguments are those of the real launches.
"""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from comvae.engine.fused.layer import FusedForward
from comvae.engine.fused.optimiser import low_rank_adam_
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from tests.engine.fused.cases import layer_of

triton = pytest.importorskip("triton", reason="Triton exists for Linux only")

SEEDS, FAN_OUT, FAN_IN, BATCH = [0], 3, 784, 32


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
    for user in ("layer", "optimiser"):
        monkeypatch.setattr(f"comvae.engine.fused.{user}.interpreted", lambda: True)
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path)
        yield kernels


@pytest.mark.parametrize(
    "rows,batch,allow_tf32",
    [
        (2 * FAN_OUT * (FAN_IN + 1), BATCH, False),
        (2 * FAN_OUT * (FAN_IN + 1), BATCH, True),
        (101, 7, False),
    ],
)
def test_low_rank_adam_compiles(compiled, rows, batch, allow_tf32):
    state = [torch.zeros(1, rows, 784) for _ in range(3)]
    left, right = torch.zeros(1, rows, batch), torch.zeros(1, 784, batch)
    step = torch.ones(())
    low_rank_adam_(*state, left, right, step=step, lr=1e-3, allow_tf32=allow_tf32)
    (kernel,) = compiled
    products = kernel.asm["ptx"].count("mma.sync")  # on tensor cores
    assert products == (8 if allow_tf32 else 24)  # three TF32 products make float32
    registers, spilled = resources(kernel)
    assert spilled == 0 and registers <= 168  # three programs on a multiprocessor
    if batch == BATCH:  # each row starts at a multiple of 16 bytes
        assert kernel.asm["ptx"].count("st.global.v4") == 6  # 16 bytes a thread each


@pytest.mark.parametrize(
    "kl,batch_norm,fan_in,batch,inputs_need_gradient",
    [
        ("none", True, FAN_IN, BATCH, False),
        ("none", True, FAN_IN, BATCH, True),
        ("none", False, 100, 20, True),
        ("closed", True, FAN_IN, BATCH, False),
        ("mixture", True, FAN_IN, BATCH, False),
        ("mixture", True, FAN_IN, BATCH, True),
        ("mixture", False, 100, 500, True),
        ("sampled", True, FAN_IN, BATCH, False),
    ],
)
def test_a_layer_compiles(
    compiled, kl, batch_norm, fan_in, batch, inputs_need_gradient
):
    layer = layer_of(kl, batch_norm, SEEDS, FAN_OUT, fan_in)
    layer.forward = FusedForward(layer, low_rank=False)
    mode = Mode(
        Noise(SEEDS, "t"),
        batch_statistics=True,
        update_statistics=True,
        weight_kl=kl != "none",
    )
    x = torch.zeros(1, batch, fan_in, requires_grad=inputs_need_gradient)
    h, nats = layer(x, mode)
    (h.sum() + nats.sum()).backward()
    names = [kernel.name for kernel in compiled]
    drawn = ["draw_kernel"] * (kl in ("none", "closed"))
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
