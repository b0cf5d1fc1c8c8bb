"""Layers with a leading axis of seeds: plain, Bayesian and dynamic Bayesian.

Every parameter, buffer and activation starts with the axis of seeds, so that one
optimiser step moves all seeds of a block (paper, section 2.2; DESIGN, section 6).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.engine.fused import (
    BatchNormalised,
    LowRankGradient,
    Scaled,
    dynamic_linear,
    has_kernel,
    low_rank_map,
)
from comvae.model import dynamic
from comvae.model.noise import Noise
from comvae.model.normalised import NORM_EPS, normalised_map
from comvae.model.options import DynamicBayesian, StaticBayesian
from comvae.model.weight_kl import WeightKL, total


@dataclass(frozen=True)
class Pass:
    """How one forward pass treats what is random and what depends on the batch."""

    noise: Noise
    sample_weights: bool = True  # else each weight at its mean
    batch_statistics: bool = False  # else batch norm with its running statistics
    update_statistics: bool = False  # move the running statistics towards the batch
    weight_kl: bool = True  # else the weight KL is not computed and comes out as zero


class Linear(nn.Module):
    """h = x W + b for each seed; initialised like `torch.nn.Linear`.

    W is (seeds, fan_in, fan_out), so that neither it nor its gradient is transposed.
    """

    random_weights = 0  # number of weights of one seed that are drawn

    def __init__(self, fan_in: int, fan_out: int, init: Noise) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias = nn.Parameter(init.uniform("weights", bound, fan_out))
        no_kl = torch.zeros(len(init.seeds))
        self.register_buffer("no_kl", no_kl, persistent=False)

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and a weight KL of zero."""
        return _affine(x, self.weight, self.bias), self.no_kl


class BayesianLinear(nn.Module):
    """h = x w + b with w = mu + softplus(rho) eps (Blundell et al. 2015)."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        init: Noise,
        options: StaticBayesian,
        weight_kl: WeightKL | None,
    ) -> None:
        """Without `weight_kl` the weights are not random: there is no rho."""
        super().__init__()
        self.options, self.weight_kl = options, weight_kl
        self.random_weights = (fan_in + 1) * fan_out if weight_kl else 0
        bound = 1 / math.sqrt(fan_in)
        self.weight_mu = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias_mu = nn.Parameter(init.uniform("weights", bound, fan_out))
        for name in ("weight", "bias") if weight_kl else ():
            rho = torch.full_like(getattr(self, f"{name}_mu"), options.rho_init)
            setattr(self, f"{name}_rho", nn.Parameter(rho))

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is that of the whole layer in nats: with one draw per image, its mean
        over the images.
        """
        images = x.shape[1] if self.options.draws == "image" else 1
        w, w_kl = self._draw("weight", images, how)
        b, b_kl = self._draw("bias", images, how)
        if w.shape[1] == 1:
            return _affine(x, w[:, 0], b[:, 0]), w_kl + b_kl
        return torch.einsum("sbio,sbi->sbo", w, x) + b, w_kl + b_kl

    def _draw(self, name: str, images: int, how: Pass) -> tuple[Tensor, Tensor]:
        mu = getattr(self, f"{name}_mu").unsqueeze(1)
        if not how.sample_weights or self.weight_kl is None:
            return mu, mu.new_zeros(len(mu))
        sigma = F.softplus(getattr(self, f"{name}_rho")).unsqueeze(1)
        eps = how.noise.normal("weights", images, *mu.shape[2:])
        w = mu + sigma * eps
        if not how.weight_kl:
            return w, mu.new_zeros(len(mu))
        sigma = sigma.expand_as(w)
        return w, total(self.weight_kl, mu.expand_as(w), sigma, eps, w) / images


class DynamicBayesianLinear(nn.Module):
    """h = w x + b with weights drawn for each image from maps of x (section 2.2).

    mu_w, rho_w, mu_b and rho_b are bias-free linear maps of the layer's input, stacked
    into one: mu of every weight, then rho of every weight, where the bias is the weight
    of a last input of one. The batch is the last axis throughout, so that batch norm
    runs along contiguous memory.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        init: Noise,
        options: DynamicBayesian,
        weight_kl: WeightKL | None,
        batch_norm: bool,
        momentum: float,
    ) -> None:
        """Without `weight_kl` the weights are not random: there is no rho."""
        super().__init__()
        self.weight_kl = weight_kl
        self.fan_in, self.fan_out = fan_in, fan_out
        self.random_weights = (fan_in + 1) * fan_out if weight_kl else 0
        self._fused = False
        self._gradient: LowRankGradient | None = None
        weights = fan_out * (fan_in + 1)
        mu_scale = options.mu_scale or 1 / math.sqrt(fan_in)
        scale = torch.tensor([mu_scale, options.rho_scale]).repeat_interleave(weights)
        shift = torch.tensor([options.mu_shift, options.rho_shift])
        shift = shift.repeat_interleave(weights)
        if weight_kl is None:
            scale, shift = scale[:weights], shift[:weights]
        if batch_norm:
            self.maps = NormalisedMap(fan_in, init, scale, shift, momentum)
        else:
            self.maps = ScaledMap(fan_in, init, scale, shift, options.normalise_input)

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is the mean (or sum) over the images of each image's own weight KL. Where
        it needs no weights, h is drawn without them, from the same distribution.
        """
        seeds, batch, _ = x.shape
        inputs = _with_ones(x)
        shape = seeds, -1, self.fan_out, self.fan_in + 1, batch
        if not self.is_random(how):
            h = dynamic.at_mean(self.maps(inputs[:, :-1], how).view(shape), inputs)
            return h.transpose(1, 2), h.new_zeros(seeds)
        kl = self.weight_kl if how.weight_kl else None
        each_weight = kl is not None and not kl.closed_form
        drawn = shape[2:] if each_weight else (self.fan_out, batch)
        eps = how.noise.normal("weights", *drawn)
        if self._fused and how.batch_statistics:
            columns, norm = self.maps.kernel_inputs(inputs[:, :-1], how)
            maps = self._mapped(columns)
            h, nats = dynamic_linear(maps.view(shape), inputs, eps, norm, kl)
        else:
            maps = self.maps(inputs[:, :-1], how).view(shape)
            draw = dynamic.sampled if each_weight else dynamic.reparameterised
            h, nats = draw(maps, inputs, eps, kl)
        mean = self.weight_kl.over_images == "mean"
        return h.transpose(1, 2), nats / batch if mean else nats

    def is_random(self, how: Pass) -> bool:
        """Whether the weights are drawn, not at their means."""
        return how.sample_weights and self.weight_kl is not None

    def moments(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the layer's output over the draws of its
        weights, (seeds, fan_out, batch) each, without gradients."""
        inputs = _with_ones(x)
        maps = self.maps(inputs[:, :-1], how)
        maps = maps.view(len(x), 2, self.fan_out, self.fan_in + 1, -1)
        return dynamic.moments(maps, inputs)

    def use_kernels(self, low_rank: bool) -> LowRankGradient | None:
        """Train with the fused kernels from now on, where they know the prior. With
        `low_rank` it gives the maps' gradient, which the optimiser has to know then."""
        self._fused = self.weight_kl is not None and has_kernel(self.weight_kl.prior)
        if self._fused and low_rank:
            self._gradient = LowRankGradient(self.maps.map)
        return self._gradient

    def _mapped(self, columns: Tensor) -> Tensor:
        if self._gradient is None:
            return torch.bmm(self.maps.map, columns)
        return low_rank_map(self.maps.map, columns, self._gradient)


class NormalisedMap(nn.Module):
    """A bias-free linear map, then batch norm over the images (section 2.2.3).

    `gamma` and `beta`, (size,), are the initial scale and shift of each output.
    """

    def __init__(
        self, fan_in: int, init: Noise, gamma: Tensor, beta: Tensor, momentum: float
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        self.map = nn.Parameter(init.uniform("weights", bound, len(gamma), fan_in))
        self.norm = BatchNorm(len(init.seeds), gamma, beta, momentum)

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        norm = self.norm
        if not how.batch_statistics:
            return norm(torch.bmm(self.map, columns), how)
        out, mean, variance = normalised_map(self.map, norm.gamma, norm.beta, columns)
        if how.update_statistics:
            norm.move_statistics(mean, variance, columns.shape[2])
        return out

    def kernel_inputs(
        self, columns: Tensor, how: Pass
    ) -> tuple[Tensor, BatchNormalised]:
        """What the fused kernels need to do the same in training."""
        norm = self.norm
        running = (norm.running_mean, norm.running_var)
        kept = running if how.update_statistics else (None, None)
        return columns, BatchNormalised(norm.gamma, norm.beta, *kept, norm.momentum)


class ScaledMap(nn.Module):
    """shift + scale M x without batch norm; `scale` and `shift` are (size,)."""

    def __init__(
        self,
        fan_in: int,
        init: Noise,
        scale: Tensor,
        shift: Tensor,
        normalise_input: bool,
    ) -> None:
        super().__init__()
        self.normalise_input = normalise_input
        self.register_buffer("scale", scale.unsqueeze(1), persistent=False)
        self.register_buffer("shift", shift.unsqueeze(1), persistent=False)
        bound = 1 / math.sqrt(fan_in)
        self.map = nn.Parameter(init.uniform("weights", bound, len(scale), fan_in))

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        columns, _ = self.kernel_inputs(columns, how)
        return torch.addcmul(self.shift, torch.bmm(self.map, columns), self.scale)

    def kernel_inputs(self, columns: Tensor, how: Pass) -> tuple[Tensor, Scaled]:
        """The map's input, and what the fused kernels need to do the same."""
        if self.normalise_input:
            # eps: ReLU can leave a hidden vector of zeros, which has no direction
            power = columns.square().mean(1, keepdim=True) + NORM_EPS
            columns = columns * power.rsqrt()
        return columns, Scaled(self.scale.view(-1), self.shift.view(-1))


class BatchNorm(nn.Module):
    """Batch norm of each feature of each seed over the images (section 2.2.3).

    Like `torch.nn.BatchNorm1d`: the batch's biased variance normalises, its unbiased
    variance enters the running statistics.
    """

    def __init__(
        self, seeds: int, gamma: Tensor, beta: Tensor, momentum: float
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.gamma = nn.Parameter(gamma.repeat(seeds, 1))
        self.beta = nn.Parameter(beta.repeat(seeds, 1))
        self.register_buffer("running_mean", torch.zeros_like(self.gamma.data))
        self.register_buffer("running_var", torch.ones_like(self.gamma.data))

    def move_statistics(self, mean: Tensor, variance: Tensor, batch: int) -> None:
        """Move the running statistics towards a batch's mean and biased variance."""
        unbiased = variance * (batch / (batch - 1))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, features, batch) -> the same shape, normalised over the batch."""
        seeds, features, batch = columns.shape
        keep_running = how.batch_statistics and not how.update_statistics
        running = (self.running_mean, self.running_var)
        out = F.batch_norm(
            columns.reshape(1, seeds * features, batch),
            *(None if keep_running else buffer.view(-1) for buffer in running),
            self.gamma.view(-1),
            self.beta.view(-1),
            training=how.batch_statistics,
            momentum=self.momentum,
            eps=NORM_EPS,
        )
        out = out.view(seeds, features, batch)
        if out.requires_grad:
            # a transposed gradient takes another kernel, and rounds otherwise, where
            # there is one seed alone
            out.register_hook(Tensor.contiguous)
        return out


def _with_ones(x: Tensor) -> Tensor:
    """(seeds, batch, fan_in) -> (seeds, fan_in + 1, batch), the last row ones."""
    columns = x.transpose(1, 2)
    return torch.cat([columns, columns.new_ones(len(x), 1, x.shape[1])], 1)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight)
