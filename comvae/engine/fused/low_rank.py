"""A map whose gradient stays in two factors (paper, section 2.2).

Protocol: a `LowRankGradient` for each map. `low_rank_map(map, x, gradient)` keeps x in
`gradient.right`; the backward pass puts the gradient of the output into
`gradient.left` and leaves `map.grad` at None; `FusedAdam.step` takes both.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from comvae.engine.fused import native


class LowRankGradient:
    """The gradient left right^T of the map `param`, (seeds, rows, columns).

    `left` is (seeds, rows, batch), `right` (seeds, columns, batch); both are None
    outside of the time between a backward pass and the step of the optimiser. The
    tensors are those of the pass itself, not copies: captured in a CUDA graph they
    live in its memory pool, at the same address in every replay.
    """

    def __init__(self, param: nn.Parameter) -> None:
        self.param = param
        self.left: Tensor | None = None
        self.right: Tensor | None = None

    def take(self) -> tuple[Tensor, Tensor]:
        """Both factors, which are forgotten here; raises RuntimeError without them."""
        left, right = self.left, self.right
        if left is None or right is None:
            raise RuntimeError("a low-rank map has no gradient; call backward() first")
        self.forget()
        return left, right

    def forget(self) -> None:
        """Be without a gradient again."""
        self.left = self.right = None

    def dense(self) -> Tensor:
        """The gradient itself, in the shape of `param`: for tests and inspection."""
        return self.left @ self.right.mT


def low_rank_map(param: nn.Parameter, x: Tensor, gradient: LowRankGradient) -> Tensor:
    """M x, (seeds, rows, columns) times (seeds, columns, batch); see the module.

    Raises RuntimeError in the backward pass where the last gradient still waits for a
    step: two of them do not add up to one of the same rank.
    """
    return _LowRankMap.apply(param, x, gradient)


class _LowRankMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, param: Tensor, x: Tensor, gradient: LowRankGradient) -> Tensor:
        ctx.gradient = gradient
        x = x.contiguous()
        ctx.save_for_backward(param, x)
        return _product(param, x)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor):
        param, x = ctx.saved_tensors
        upstream = upstream.contiguous()
        if ctx.needs_input_grad[0]:
            if ctx.gradient.left is not None:
                raise RuntimeError(
                    "a low-rank map has the gradient of an earlier backward pass; call "
                    "step() or zero_grad() of its optimiser between two"
                )
            ctx.gradient.left, ctx.gradient.right = upstream, x
        # images need no gradient, and M is not read a second time for them
        dx = torch.bmm(param.mT, upstream) if ctx.needs_input_grad[1] else None
        return None, dx, None


def _product(maps: Tensor, x: Tensor) -> Tensor:
    on_cpu = maps.device.type == "cpu" and maps.dtype == torch.float32
    if on_cpu and native.unavailable() is None:
        return native.launch_product(maps, x)
    return torch.bmm(maps, x)
