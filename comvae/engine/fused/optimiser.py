"""Adam for all parameters of a block, low-rank maps among them (section 3.1).

The gradient of M in y = M x over a batch is the gradient of y times x transposed: for
784 -> 100, two matrices of 10 MB and 0.1 MB instead of one of 246 MB. The update of
such a map reads and writes 24 bytes for each parameter, the least that Adam can do.

`torch.optim.Adam` computes the same; docs/performance.md says what it costs more than
one call of the fused kernel behind it.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from comvae.engine.fused import native
from comvae.engine.fused.low_rank import LowRankGradient
from comvae.engine.fused.support import interpreted

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class FusedAdam:
    """Adam with the usual betas and eps, and maps updated from two factors.

    `params` are all parameters, the maps of `low_rank` among them. Every parameter must
    have a gradient in each step. `state` holds the moments `exp_avg` and `exp_avg_sq`
    of each, and `steps` the number of steps, on the device: a step can be captured in a
    CUDA graph.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        low_rank: Sequence[LowRankGradient] = (),
        allow_tf32: bool = False,
    ) -> None:
        params = list(params)
        self.lr, self._allow_tf32, self._low_rank = lr, allow_tf32, list(low_rank)
        maps = {id(gradient.param) for gradient in self._low_rank}
        if not maps <= set(map(id, params)):
            raise ValueError("a map of `low_rank` is not one of `params`")
        self.state = {
            p: {
                "exp_avg": torch.zeros_like(p, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(p, requires_grad=False),
            }
            for p in params
        }
        self.steps = torch.zeros((), device=params[0].device)
        self._dense = [p for p in params if id(p) not in maps]

    def leave_out(self, params: Iterable[nn.Parameter]) -> None:
        """Keep the moments of some parameters, which something else updates."""
        left_out = set(map(id, params))
        self._dense = [p for p in self._dense if id(p) not in left_out]
        self._low_rank = [g for g in self._low_rank if id(g.param) not in left_out]

    def step(self, count: int = 1) -> None:
        """One step of all parameters but those left out, which take `count`."""
        self.steps += count
        if self._dense or self._low_rank:
            self._update()

    @torch.no_grad()
    def step_seeds(
        self, params: Iterable[nn.Parameter], seeds: Iterable[int], steps: Tensor
    ) -> None:
        """One step of `params`, which were left out, of some of the seeds; `steps`,
        (seeds,), has the number of it for each seed."""
        pairs = [(param, seed) for param in params for seed in seeds]
        if pairs:
            self._adam(
                [p[s] for p, s in pairs],
                [p.grad[s] for p, s in pairs],
                [{k: m[s] for k, m in self.state[p].items()} for p, s in pairs],
                [steps[s] for _, s in pairs],
            )

    def _adam(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        moments: list[dict[str, Tensor]],
        steps: list[Tensor],
    ) -> None:
        torch._fused_adam_(
            params,
            grads,
            [m["exp_avg"] for m in moments],
            [m["exp_avg_sq"] for m in moments],
            [],
            steps,
            lr=self.lr,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    @torch.no_grad()
    def _update(self) -> None:
        if self._dense:
            grads = [p.grad for p in self._dense]
            moments = [self.state[p] for p in self._dense]
            self._adam(self._dense, grads, moments, [self.steps] * len(moments))
        for gradient in self._low_rank:
            moments = self.state[gradient.param]
            low_rank_adam_(
                gradient.param,
                moments["exp_avg"],
                moments["exp_avg_sq"],
                *gradient.take(),
                step=self.steps,
                lr=self.lr,
                allow_tf32=self._allow_tf32,
            )

    def zero_grad(self) -> None:
        """Forget the gradients, those in two factors too."""
        for param in self._dense:
            param.grad = None
        for gradient in self._low_rank:
            gradient.forget()


def low_rank_adam_(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    step: Tensor,
    lr: float,
    beta1: float = BETA1,
    beta2: float = BETA2,
    eps: float = EPS,
    allow_tf32: bool = False,
) -> None:
    """One step of `torch.optim.Adam` with the gradient left right^T, in place.

    `param` and its moments `exp_avg` and `exp_avg_sq` are (seeds, rows, columns), left
    (seeds, rows, batch), right (seeds, columns, batch), all float32, contiguous and on
    one device. `step` is the number of this step, the first being 1: a 0-d float32 on
    the device, so that a captured CUDA graph can be replayed. Tensor cores take 10 bits
    of mantissa: the gradient is the sum of three of their products, which has the
    digits of float32; with `allow_tf32` it is one.

    Raises ValueError where a tensor does not fit.
    """
    seeds, rows, columns = param.shape
    batch = left.shape[-1]
    state, factors = (param, exp_avg, exp_avg_sq), (left, right)
    shapes = [param.shape] * 3 + [(seeds, rows, batch), (seeds, columns, batch)]
    for tensor, shape in zip((*state, *factors), shapes, strict=True):
        contiguous = tensor.is_contiguous() and tensor.dtype == torch.float32
        if tensor.shape != shape or not contiguous:
            raise ValueError(
                f"found {list(tensor.shape)} of {tensor.dtype}, expected {list(shape)} "
                "of contiguous float32"
            )
    if param.device.type == "cpu" and not interpreted():
        numbers = adam_numbers(step.item(), lr, beta1, beta2, eps)
        native.launch_low_rank_adam(param, exp_avg, exp_avg_sq, left, right, numbers)
        return
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
        "tf32" if allow_tf32 else "tf32x3",
    )


def adam_numbers(
    number: float,
    lr: float,
    beta1: float = BETA1,
    beta2: float = BETA2,
    eps: float = EPS,
) -> dict[str, float]:
    """What the C kernels need for step `number`, from 1; adam.h says what it is."""
    return dict(
        rate=lr / (1 - beta1**number),
        root=1 / math.sqrt(1 - beta2**number),
        new_mean=1 - beta1,
        keep_square=beta2,
        new_square=1 - beta2,
        epsilon=eps,
    )
