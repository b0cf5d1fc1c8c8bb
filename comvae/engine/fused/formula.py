"""A DBNN layer from the output of its maps to its output (paper, section 2.2).

The maps give mu and rho of the weights of all images, 20 MB for 784 -> 100 and 32
images. Here they are read once in the forward pass, once in the backward pass, and
nothing else of their size is written but their gradient: normalised values, standard
deviations, weights and products exist tile by tile, and the backward pass computes them
again. The maths is that of `comvae.model.dynamic`, with the normalisation of the maps.

Each image's output is a sum over the inputs and each input's gradient a sum over the
outputs: both are summed within a tile and then over the tiles, in a fixed order, so
that a result never depends on the timing of the GPU.

The product M x could be folded in, since a tile holds all images and so the statistics
of its batch norm. The backward pass needs the maps' output again, though, and reading M
again costs 25 times what keeping it does: one reading of 20 MB would be saved in a step
of 3.4 GB, for a matrix product of our own in place of cuBLAS's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from comvae.engine.fused.support import interpreted
from comvae.model.priors import GaussianPrior, ScaleMixturePrior

if TYPE_CHECKING:
    from comvae.model.priors import WeightPrior
    from comvae.model.weight_kl import WeightKL

NORM_EPS = 1e-5  # as in comvae.model.layers
MAX_BATCH = 4096  # all images of one weight are held in registers
Running = tuple[Tensor | None, Tensor | None, float]  # mean, variance, momentum


@dataclass(frozen=True)
class BatchNormalised:
    """Batch norm of the maps with the statistics of the batch (section 2.2.3).

    All tensors are (seeds, 2 * out * in). The running statistics, where given, move
    towards those of the batch in the forward pass.
    """

    gamma: Tensor
    beta: Tensor
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    momentum: float = 0.1


@dataclass(frozen=True)
class Scaled:
    """shift + scale M x, without batch norm; `scale` and `shift`, (2 * out * in) values
    each, are those of all seeds and are not trained."""

    scale: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Formula:
    """The weight KL as the kernels compute it, for w = mu + sigma eps.

    `sampled`: -eps^2 / 2 - log sigma + constant + half w^2, less softplus(log_ratio -
    excess w^2) for a `mixture`; `closed`: half (mu^2 + sigma^2) - log sigma + constant;
    `none`: no KL.
    """

    kind: str = "none"
    constant: float = 0.0
    half: float = 0.0
    log_ratio: float = 0.0
    excess: float = 0.0


def has_kernel(prior: WeightPrior) -> bool:
    """Whether the kernels know this prior; if not, the plain layer has to be used."""
    return type(prior) in (GaussianPrior, ScaleMixturePrior)


def dynamic_linear(
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    norm: BatchNormalised | Scaled,
    kl: WeightKL | None,
) -> tuple[Tensor, Tensor]:
    """w x for each image, w = mu + softplus(rho) eps, and the KL over all images.

    `maps`, (seeds, 2, out, in, batch), are mu and rho as M x gives them, before `norm`;
    `inputs` are (seeds, in, batch), the last of them 1 where there is a bias. `eps` is
    (seeds, out, in, batch), or (seeds, out, batch) for the same distribution of the
    output with one draw each (`reparameterised` in model/). Gives (seeds, out,
    batch) and nats (seeds,), zero where `kl` is None.

    Gradients are those of maps, inputs, gamma and beta, once. Raises ValueError where a
    shape does not fit, for a prior without a kernel (`has_kernel`) and for a KL that
    needs weights where none are drawn.
    """
    _refuse_misfits(maps, inputs, eps, norm)
    formula = _formula(kl)
    if eps.ndim == 3 and formula.kind in ("sampled", "mixture"):
        raise ValueError("this weight KL needs weights: eps for each of them")
    if isinstance(norm, BatchNormalised):
        running = norm.running_mean, norm.running_var, norm.momentum
        affine = norm.gamma, norm.beta
    else:
        running, affine = None, (norm.scale, norm.shift)
    return _DynamicLinear.apply(formula, running, maps, inputs, eps, *affine)


def dynamic_linear_reference(
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    norm: BatchNormalised | Scaled,
    kl: WeightKL | None,
) -> tuple[Tensor, Tensor]:
    """`dynamic_linear` in plain PyTorch, of any floating type."""
    mu, rho = _normalised(maps, norm).unbind(1)
    sigma, x = F.softplus(rho), inputs.unsqueeze(1)
    if eps.ndim == 3:
        variance = (sigma * x).square().sum(2)
        some = variance > 0  # at zero the square root has no gradient
        spread = torch.where(some, torch.where(some, variance, 1).sqrt(), 0)
        h = (mu * x).sum(2) + spread * eps
    else:
        w = mu + sigma * eps
        h = (w * x).sum(2)
    formula = _formula(kl)
    if formula.kind == "none":
        return h, h.new_zeros(len(h))
    nats = formula.constant - sigma.log()
    if formula.kind == "closed":
        nats = nats + formula.half * (mu**2 + sigma**2)
    else:
        nats = nats - 0.5 * eps**2 + formula.half * w**2
    if formula.kind == "mixture":
        nats = nats - F.softplus(formula.log_ratio - formula.excess * w**2)
    return h, nats.flatten(1).sum(1)


class _DynamicLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, formula: Formula, running, *tensors: Tensor):
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        h, nats, kept = _kernels(tensors[0]).launch_forward(formula, running, *tensors)
        ctx.formula, ctx.statistics = formula, running is not None
        ctx.save_for_backward(*tensors, *kept)
        return h, nats

    @staticmethod
    @once_differentiable
    def backward(ctx, by_h: Tensor, by_nats: Tensor):
        maps, inputs, eps, scale, shift, *kept = ctx.saved_tensors
        gradients = _kernels(maps).launch_backward(
            *(ctx.formula, ctx.statistics, maps, inputs, eps, scale, shift, kept),
            *(by_h.contiguous(), by_nats.contiguous()),
            inputs_need_gradient=ctx.needs_input_grad[3],
        )
        by_maps, by_inputs, *by_affine = gradients
        return None, None, by_maps, by_inputs, None, *by_affine


def _kernels(maps: Tensor) -> ModuleType:
    """Those in C for a CPU, those in Triton for a GPU and for Triton's interpreter."""
    if maps.device.type == "cpu" and not interpreted():
        from comvae.engine.fused import native

        return native
    from comvae.engine.fused import triton_layer as dynamic_kernel

    return dynamic_kernel


def _normalised(maps: Tensor, norm: BatchNormalised | Scaled) -> Tensor:
    if isinstance(norm, Scaled):
        shape = maps.shape[1:-1]
        scale, shift = norm.scale.view(*shape, 1), norm.shift.view(*shape, 1)
        return shift + scale * maps
    running = (norm.running_mean, norm.running_var)
    out = F.batch_norm(
        maps.reshape(1, -1, maps.shape[-1]),
        *(None if buffer is None else buffer.view(-1) for buffer in running),
        norm.gamma.view(-1),
        norm.beta.view(-1),
        training=True,
        momentum=norm.momentum,
        eps=NORM_EPS,
    )
    return out.view(maps.shape)


def _formula(kl: WeightKL | None) -> Formula:
    if kl is None:
        return Formula()
    prior = kl.prior
    if type(prior) is GaussianPrior:
        half, constant = 0.5 / prior.scale**2, math.log(prior.scale)
        if kl.closed_form:
            return Formula("closed", constant - 0.5, half)
        return Formula("sampled", constant, half)
    if type(prior) is not ScaleMixturePrior:
        raise ValueError(f"no kernel for the weight prior {prior!r}")
    half = 0.5 / prior.slab**2
    return Formula(
        "mixture",
        # log q has the same -log sqrt(2 pi) as the log density of the slab
        constant=-math.log(prior.pi / prior.slab),
        half=half,
        log_ratio=math.log(prior.slab / prior.spike) + math.log(1 / prior.pi - 1),
        excess=0.5 / prior.spike**2 - half,
    )


def _refuse_misfits(
    maps: Tensor, inputs: Tensor, eps: Tensor, norm: BatchNormalised | Scaled
) -> None:
    """A kernel would read past the end of a tensor that does not fit."""
    seeds, _, fan_out, fan_in, batch = maps.shape
    features = 2 * fan_out * fan_in
    if batch > MAX_BATCH:
        raise ValueError(f"a minibatch of {batch} images; at most {MAX_BATCH} fit")
    each = (fan_in,) if eps.ndim == 4 else ()
    expected = {
        "maps": (maps, (seeds, 2, fan_out, fan_in, batch)),
        "inputs": (inputs, (seeds, fan_in, batch)),
        "eps": (eps, (seeds, fan_out, *each, batch)),
    }
    for name, tensor in vars(norm).items():
        if isinstance(tensor, Tensor):
            of_all = tensor.view(-1) if isinstance(norm, Scaled) else tensor
            shape = (features,) if isinstance(norm, Scaled) else (seeds, features)
            expected[name] = (of_all, shape)
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}; expected {shape}")
        if tensor.dtype != maps.dtype or tensor.device != maps.device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}; expected {maps.dtype} "
                f"on {maps.device}"
            )
