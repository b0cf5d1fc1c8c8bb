"""Adam for all parameters of a block, low-rank maps among them (section 3.1).

`torch.optim.Adam` computes the same, but its first use imports the compiler of PyTorch,
which takes as long as a short training, and each step costs a quarter of a millisecond
of Python. Here a step is one call of the same fused kernel.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from comvae.engine.fused.adam import low_rank_adam_, low_rank_adam_reference_
from comvae.engine.fused.low_rank import LowRankGradient
from comvae.engine.fused.support import unavailable

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class FusedAdam:
    """Adam with the usual betas and eps, and maps updated from two factors.

    `params` are all parameters, the maps of `low_rank` among them. Every parameter must
    have a gradient in each step. `state` holds the moments `exp_avg` and `exp_avg_sq`
    of each, and `steps` the number of steps, on the device: a step can be captured in a
    CUDA graph. Where the kernel of the maps cannot run, the same is done in plain
    PyTorch.
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
        plain = unavailable(params[0].device) is not None
        self._update = low_rank_adam_reference_ if plain else low_rank_adam_

    @torch.no_grad()
    def step(self) -> None:
        """One step of all parameters."""
        self.steps += 1
        if self._dense:
            moments = [self.state[p] for p in self._dense]
            torch._fused_adam_(
                self._dense,
                [p.grad for p in self._dense],
                [m["exp_avg"] for m in moments],
                [m["exp_avg_sq"] for m in moments],
                [],
                [self.steps] * len(moments),
                lr=self.lr,
                beta1=BETA1,
                beta2=BETA2,
                weight_decay=0.0,
                eps=EPS,
                amsgrad=False,
                maximize=False,
            )
        for gradient in self._low_rank:
            left, right = gradient.take()
            self._update(
                gradient.param,
                *self._moments(gradient.param),
                *(left, right),
                step=self.steps,
                lr=self.lr,
                beta1=BETA1,
                beta2=BETA2,
                eps=EPS,
                allow_tf32=self._allow_tf32,
            )

    def zero_grad(self) -> None:
        """Forget the gradients, those in two factors too."""
        for param in self._dense:
            param.grad = None
        for gradient in self._low_rank:
            gradient.forget()

    def _moments(self, param: nn.Parameter) -> tuple[Tensor, Tensor]:
        return self.state[param]["exp_avg"], self.state[param]["exp_avg_sq"]
