"""The maps that give a DBNN layer its weights, and batch norm (sections 2.2, 2.2.3)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions

NORM_EPS = 1e-5  # delta of eq. (6)

Running = tuple[Tensor | None, Tensor | None, float]  # mean, variance, momentum


def per_weight(options: ModelOptions) -> int:
    """Parameters of the distribution of one weight: mu and rho, or mu."""
    return 2 if options.weight_noise else 1


class BareMap(nn.Module):
    """M x: what the two maps below have in common.

    `map` is M, (seeds, size, fan_in). With `dynamic.rank` r it is the second factor of
    M, (seeds, size, r), and `inner` the first, (seeds, 2 r, fan_in): r numbers of each
    image for the half of the outputs that are mu, and r for the other half, rho. The
    elements of the product start with the variance of those of a full M.
    """

    def __init__(
        self, fan_in: int, size: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        bound, rank = 1 / math.sqrt(fan_in), options.dynamic.rank
        inner = None
        if rank is not None:
            halves = per_weight(options)
            inner = nn.Parameter(init.uniform("weights", bound, halves * rank, fan_in))
            bound = math.sqrt(3 / rank)  # a variance of 1 / rank
        self.register_parameter("inner", inner)
        self.map = nn.Parameter(init.uniform("weights", bound, size, rank or fan_in))

    def product(self, columns: Tensor) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        if self.inner is None:
            return torch.bmm(self.map, columns)
        seeds, size, rank = self.map.shape
        between = torch.bmm(self.inner, columns).view(-1, rank, columns.shape[2])
        halves = self.map.view(len(between), -1, rank)
        return torch.bmm(halves, between).view(seeds, size, -1)


class NormalisedMap(BareMap):
    """A bias-free linear map, then batch norm over the images (section 2.2.3).

    `gamma` and `beta`, (size,), are the initial scale and shift of each output.
    """

    def __init__(
        self,
        fan_in: int,
        gamma: Tensor,
        beta: Tensor,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__(fan_in, len(gamma), options, init)
        self.norm = BatchNorm(gamma, beta, options, init)

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        return self.norm(self.product(columns), mode)


class ScaledMap(BareMap):
    """shift + scale M x without batch norm; `scale` and `shift` are (size,)."""

    def __init__(
        self,
        fan_in: int,
        scale: Tensor,
        shift: Tensor,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__(fan_in, len(scale), options, init)
        self.normalise_input = options.dynamic.normalise_input
        self.register_buffer("scale", scale.unsqueeze(1), persistent=False)
        self.register_buffer("shift", shift.unsqueeze(1), persistent=False)

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        product = self.product(self.normalised(columns))
        return torch.addcmul(self.shift, product, self.scale)

    def normalised(self, columns: Tensor) -> Tensor:
        """The map's input: that of the layer, divided by its root mean square."""
        if not self.normalise_input:
            return columns
        # eps: ReLU can leave a hidden vector of zeros, which has no direction
        power = columns.square().mean(1, keepdim=True) + NORM_EPS
        return columns * power.rsqrt()


class BatchNorm(nn.Module):
    """Batch norm of each feature of each seed over the images (section 2.2.3).

    Like `torch.nn.BatchNorm1d`: the batch's biased variance normalises, its unbiased
    variance enters the running statistics, which with a momentum of `cumulative` are
    means over all `batches`. `gamma` and `beta`, (features,), are initial values.
    """

    def __init__(
        self, gamma: Tensor, beta: Tensor, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        self.momentum = options.batch_norm_momentum
        self.gamma = nn.Parameter(gamma.repeat(len(init.seeds), 1))
        self.beta = nn.Parameter(beta.repeat(len(init.seeds), 1))
        self.register_buffer("running_mean", torch.zeros_like(self.gamma.data))
        self.register_buffer("running_var", torch.ones_like(self.gamma.data))
        if self.momentum == "cumulative":
            self.register_buffer("batches", torch.zeros(len(init.seeds), 1))

    @contextmanager
    def moving(self, mode: Mode) -> Iterator[Running]:
        """The statistics, (seeds, features), that a pass in training moves towards
        those of its batch; or none to be moved."""
        running = self.running_mean, self.running_var
        if not mode.update_statistics:
            yield None, None, 0.0
        elif self.momentum != "cumulative":
            yield *running, self.momentum
        else:
            batch = [torch.zeros_like(each) for each in running]
            yield *batch, 1.0
            self.batches += 1
            for each, newest in zip(running, batch, strict=True):
                each.lerp_(newest, 1 / self.batches)

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift, (seeds, features), that the running statistics make."""
        scale = self.gamma * (self.running_var + NORM_EPS).rsqrt()
        return scale, self.beta - self.running_mean * scale

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, features, batch) -> the same shape, normalised over the batch."""
        seeds, features, batch = columns.shape
        flat = columns.reshape(1, seeds * features, batch)
        affine = self.gamma.view(-1), self.beta.view(-1)
        if mode.batch_statistics:
            with self.moving(mode) as (mean, var, momentum):
                moved = [t if t is None else t.view(-1) for t in (mean, var)]
                out = F.batch_norm(flat, *moved, *affine, True, momentum, NORM_EPS)
        else:
            running = self.running_mean.view(-1), self.running_var.view(-1)
            out = F.batch_norm(flat, *running, *affine, eps=NORM_EPS)
        out = out.view(seeds, features, batch)
        if out.requires_grad:
            # a transposed gradient takes another kernel, and rounds otherwise, where
            # there is one seed alone
            out.register_hook(Tensor.contiguous)
        return out
