"""Where the kernels in Triton can run."""

import functools
import importlib.util

import torch

from comvae.engine.fused.optimiser import low_rank_adam_
from comvae.engine.fused.support import interpreted


@functools.cache
def unavailable(device: torch.device | str) -> str | None:
    """Why the kernels in Triton cannot run on `device`; None where they can.

    They need an NVIDIA GPU from Ampere on and Triton with all that it needs, a C
    compiler among it: a first small step shows whether that works, before a graph is
    captured. Triton's interpreter (TRITON_INTERPRET=1) runs them anywhere, slowly.
    """
    device = torch.device(device)
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if interpreted():
        return None
    if device.type != "cuda":
        return f"the device is {device.type}, and the kernels are for cuda"
    if torch.version.hip is not None:
        return "the kernels have been written for NVIDIA GPUs, and this one is AMD's"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than Ampere"
    try:
        _try_out(device)
    except Exception as error:  # whatever a compiler, a driver or Triton may raise
        return f"Triton failed: {type(error).__name__}: {error}"
    return None


def _try_out(device: torch.device) -> None:
    """The first step of Adam moves each weight by the learning rate."""
    with torch.cuda.device(device):
        state = [torch.zeros(1, 2, 3, device=device) for _ in range(3)]
        factors = (torch.ones(1, size, 4, device=device) for size in (2, 3))
        step = torch.ones((), device=device)
        low_rank_adam_(*state, *factors, step=step, lr=1e-3)
    torch.testing.assert_close(state[0], torch.full_like(state[0], -1e-3))
