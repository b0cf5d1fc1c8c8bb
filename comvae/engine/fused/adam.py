"""Adam for a map whose gradient is a product of two thin matrices (section 3.1).

The gradient of M in y = M x over a batch is the gradient of y times x transposed: for
784 -> 100, two matrices of 10 MB and 0.1 MB instead of one of 246 MB. The update reads
and writes 24 bytes for each parameter, the least that Adam can do, and nothing else.

Pixels that are zero in the whole batch, 41% of MNIST's at 32 images, have a gradient of
zero, but Adam still decays their moments and moves their weights. Leaving them alone
for n steps and replaying the n updates when the pixel is next needed would be exact; it
would also need a clock for every pixel, the pixels of the coming batch, maps stored by
pixel, and a flush before anyone else reads the weights. That is not simple, so the
update is dense.
"""

import math

import torch
from torch import Tensor


def low_rank_adam_(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    step: Tensor,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    allow_tf32: bool = False,
) -> None:
    """One step of `torch.optim.Adam` with the gradient left right^T, in place.

    `param` and its moments `exp_avg` and `exp_avg_sq` are (seeds, rows, columns), left
    (seeds, rows, batch), right (seeds, columns, batch), all float32, contiguous and on
    one device. `step` is the number of this step, the first being 1: a 0-d float32 on
    the device, so that a captured CUDA graph can be replayed. With `allow_tf32` the
    gradient is multiplied with the 10 bits of mantissa that tensor cores take.

    Raises ValueError where a tensor does not fit.
    """
    _refuse_misfits(param, exp_avg, exp_avg_sq, left, right, step)
    from comvae.engine.fused.triton_adam import launch

    launch(
        param,
        exp_avg,
        exp_avg_sq,
        left,
        right,
        step,
        (lr, beta1, beta2, 1 - beta1, 1 - beta2, math.log(beta1), math.log(beta2)),
        eps,
        "tf32" if allow_tf32 else "ieee",
    )


def low_rank_adam_reference_(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    step: Tensor,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    allow_tf32: bool = False,
) -> None:
    """`low_rank_adam_` in plain PyTorch, of any floating type."""
    gradient = left @ right.mT
    exp_avg.lerp_(gradient, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    correction1 = 1 - beta1 ** step.double()
    correction2 = 1 - beta2 ** step.double()
    scale = (lr / correction1).to(param.dtype)
    root = correction2.sqrt().to(param.dtype)
    param.sub_(scale * exp_avg / (exp_avg_sq.sqrt() / root + eps))


def _refuse_misfits(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    step: Tensor,
) -> None:
    """A kernel would read and write past the end of a tensor that does not fit."""
    seeds, rows, columns = param.shape
    batch = left.shape[-1]
    expected = {
        "param": (param, (seeds, rows, columns)),
        "exp_avg": (exp_avg, (seeds, rows, columns)),
        "exp_avg_sq": (exp_avg_sq, (seeds, rows, columns)),
        "left": (left, (seeds, rows, batch)),
        "right": (right, (seeds, columns, batch)),
        "step": (step, ()),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}; expected {shape}")
        if tensor.dtype != torch.float32 or tensor.device != param.device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}; expected float32 on "
                f"{param.device}"
            )
        if not tensor.is_contiguous():
            raise ValueError(f"{name} is not contiguous")
