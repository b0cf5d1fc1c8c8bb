"""What a dynamic Bayesian layer does with the weights of each image (section 2.2).

The layer's maps give mu and rho of every weight of every image: here the weights are
drawn and applied, w = mu + softplus(rho) eps and h = w x + b, and their KL is taken.
The gradients are written by hand, since autograd would keep a dozen tensors of the
size of all weights of all images; on a CPU the work is done in pieces that stay in its
cache.

Shapes: `maps` (seeds, 2, out, in + 1, batch) holds mu and rho, the bias as a last
input; `inputs` (seeds, in + 1, batch) has a last row of ones.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from comvae.model.pieces import pieces
from comvae.model.weight_kl import WeightKL


def sampled(
    maps: Tensor, inputs: Tensor, eps: Tensor, kl: WeightKL | None
) -> tuple[Tensor, Tensor]:
    """h = w x + b, (seeds, out, batch), and the weight KL summed over the images.

    Every weight is drawn with its own `eps`, (seeds, out, in + 1, batch), which is used
    up: its memory is written to.
    """
    return _Sampled.apply(maps, inputs, eps, kl, _with_gradients(maps, inputs))


def reparameterised(
    maps: Tensor, inputs: Tensor, eps: Tensor, kl: WeightKL | None
) -> tuple[Tensor, Tensor]:
    """The same distribution of h, with one draw per output: `eps` (seeds, out, batch).

    h = sum mu x + sqrt(sum sigma^2 x^2) eps (local reparameterisation, Kingma et al.
    2015). It is exact, since no two images share a weight; `kl` must need no weights.
    """
    return _Reparameterised.apply(maps, inputs, eps, kl, _with_gradients(maps, inputs))


def at_mean(maps: Tensor, inputs: Tensor) -> Tensor:
    """h, (seeds, out, batch), with every weight at its mean."""
    return (maps[:, 0] * inputs.unsqueeze(1)).sum(2)


def moments(maps: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of h over draws of the weights, (seeds, out, batch)
    each, without gradients."""
    mean = torch.empty_like(maps[:, 0, :, 0])
    deviation = torch.empty_like(mean)
    for seeds, outs in _pieces(maps[:, 0]):
        mu, rho = maps[seeds, 0, outs], maps[seeds, 1, outs]
        x = inputs[seeds].unsqueeze(1)
        mean[seeds, outs] = (mu * x).sum(2)
        deviation[seeds, outs] = F.softplus(rho).mul_(x).square_().sum(2).sqrt_()
    return mean, deviation


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        maps: Tensor,
        inputs: Tensor,
        eps: Tensor,
        kl: WeightKL | None,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor]:
        h = eps.new_empty(eps.shape[0], eps.shape[1], eps.shape[3])
        nats = maps.new_zeros(len(maps))
        keep_weights = with_gradients and inputs.requires_grad
        kept: list[Tensor] = []
        for seeds, outs in _pieces(maps[:, 0]):
            mu, rho = maps[seeds, 0, outs], maps[seeds, 1, outs]
            noise, x = eps[seeds, outs], inputs[seeds].unsqueeze(1)
            sigma = F.softplus(rho)
            w = torch.addcmul(mu, sigma, noise)
            torch.sum(w * x, 2, out=h[seeds, outs])
            slope = torch.sigmoid(rho) if with_gradients else None
            if kl:
                found = kl(mu, sigma, noise, w, with_gradients)
                nats[seeds] += found.nats
                if with_gradients:
                    kept += [found.by_mu, found.by_sigma.mul_(slope)]
            if with_gradients:
                noise.mul_(slope)
            if keep_weights:
                kept.append(w)
        ctx.save_for_backward(inputs, eps, *kept)
        ctx.with_kl = kl is not None
        return h, nats

    @staticmethod
    def backward(ctx: FunctionCtx, by_h: Tensor, by_nats: Tensor) -> tuple[Any, ...]:
        inputs, eps_slope, *rest = ctx.saved_tensors
        kept = iter(rest)
        by_maps = eps_slope.new_empty(len(inputs), 2, *eps_slope.shape[1:])
        by_inputs = torch.zeros_like(inputs) if ctx.needs_input_grad[1] else None
        for seeds, outs in _pieces(by_maps[:, 0]):
            by_mu, by_rho = by_maps[seeds, 0, outs], by_maps[seeds, 1, outs]
            outer = by_h[seeds, outs].unsqueeze(2)
            torch.mul(outer, inputs[seeds].unsqueeze(1), out=by_mu)
            torch.mul(by_mu, eps_slope[seeds, outs], out=by_rho)
            if ctx.with_kl:
                _add_kl(by_mu, by_rho, next(kept), next(kept), by_nats[seeds])
            if by_inputs is not None:
                by_inputs[seeds] += (next(kept) * outer).sum(1)
        return by_maps, by_inputs, None, None, None


class _Reparameterised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        maps: Tensor,
        inputs: Tensor,
        eps: Tensor,
        kl: WeightKL | None,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor]:
        h, ratio = torch.empty_like(eps), torch.empty_like(eps)
        nats = maps.new_zeros(len(maps))
        kept: list[Tensor] = []
        for seeds, outs in _pieces(maps[:, 0]):
            mu, rho = maps[seeds, 0, outs], maps[seeds, 1, outs]
            x = inputs[seeds].unsqueeze(1)
            sigma = F.softplus(rho)
            noise = sigma * x
            variance = (noise * noise).sum(2)
            # no variance, no noise: its gradient is zero then, not infinite
            inverse = torch.where(variance > 0, variance.rsqrt(), 0)
            torch.mul(eps[seeds, outs], inverse, out=ratio[seeds, outs])
            torch.addcmul(
                (mu * x).sum(2), variance, ratio[seeds, outs], out=h[seeds, outs]
            )
            slope = torch.sigmoid(rho) if with_gradients else None
            if kl:
                found = kl(mu, sigma, None, None, with_gradients)
                nats[seeds] += found.nats
                if with_gradients:
                    kept += [found.by_mu, found.by_sigma.mul_(slope)]
            if with_gradients:
                kept += [sigma, noise.mul_(x).mul_(slope)]
        ctx.save_for_backward(maps, inputs, ratio, *kept)
        ctx.with_kl = kl is not None
        return h, nats

    @staticmethod
    def backward(ctx: FunctionCtx, by_h: Tensor, by_nats: Tensor) -> tuple[Any, ...]:
        maps, inputs, ratio, *rest = ctx.saved_tensors
        kept = iter(rest)
        by_maps = torch.empty_like(maps)
        by_inputs = torch.zeros_like(inputs) if ctx.needs_input_grad[1] else None
        for seeds, outs in _pieces(by_maps[:, 0]):
            by_mu, by_rho = by_maps[seeds, 0, outs], by_maps[seeds, 1, outs]
            x, outer = inputs[seeds].unsqueeze(1), by_h[seeds, outs].unsqueeze(2)
            by_noise = outer * ratio[seeds, outs].unsqueeze(2)
            torch.mul(outer, x, out=by_mu)
            kl_gradient = (next(kept), next(kept)) if ctx.with_kl else ()
            sigma, sigma_x2_slope = next(kept), next(kept)
            torch.mul(by_noise, sigma_x2_slope, out=by_rho)
            if by_inputs is not None:
                by_x = (sigma * sigma).mul_(x).mul_(by_noise)
                by_inputs[seeds] += by_x.addcmul_(maps[seeds, 0, outs], outer).sum(1)
            if kl_gradient:
                _add_kl(by_mu, by_rho, *kl_gradient, by_nats[seeds])
        return by_maps, by_inputs, None, None, None


def _add_kl(
    by_mu: Tensor, by_rho: Tensor, kl_by_mu: Tensor, kl_by_rho: Tensor, by_nats: Tensor
) -> None:
    scale = by_nats.view(-1, 1, 1, 1)
    by_mu.addcmul_(kl_by_mu, scale)
    by_rho.addcmul_(kl_by_rho, scale)


def _with_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _pieces(weights: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of the seeds and outputs of weights, (seeds, out, in + 1, batch)."""
    seeds, outs, *row = weights.shape
    return pieces(seeds, outs, math.prod(row), weights)
