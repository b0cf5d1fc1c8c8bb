"""What the modules of the kernels share."""

import os

import torch
from torch import Tensor


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def refuse_misfits(
    expected: dict[str, tuple[Tensor, list[int]]],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Raise ValueError where a tensor has not its shape, or is of another kind."""
    for name, (tensor, shape) in expected.items():
        if list(tensor.shape) != shape:
            raise ValueError(f"{name} is {list(tensor.shape)}; expected {shape}")
        if tensor.dtype != dtype or tensor.device != device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}; expected {dtype} on "
                f"{device}"
            )
