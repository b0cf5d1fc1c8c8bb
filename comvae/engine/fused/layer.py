"""A DBNN layer from the output of its maps to its output (paper, section 2.2).

The maps give mu and rho of the weights of all images. Here they are read once in the
forward pass, once in the backward pass, and nothing else of their size is written but
their gradient: normalised values, standard deviations, weights and products exist tile
by tile, and the backward pass computes them again.

Each image's output is a sum over the inputs and each input's gradient a sum over the
outputs: both are summed within a tile and then over the tiles, in a fixed order, so
that a result never depends on timing.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from comvae.engine.fused.formula import Formula, formula_of
from comvae.engine.fused.low_rank import LowRankGradient, low_rank_map
from comvae.engine.fused.support import interpreted
from comvae.model.layers import DynamicBayesianLinear
from comvae.model.maps import NormalisedMap, Running
from comvae.model.mode import Mode

MAX_BATCH = 4096  # all images of one weight are held in registers


class FusedForward:
    """Stands in for `layer.forward`: with the kernels where weights are random, in
    batches of at most MAX_BATCH images.

    With `low_rank` the gradient of a full map stays in two factors, in `gradient`.
    """

    def __init__(self, layer: DynamicBayesianLinear, low_rank: bool) -> None:
        self.layer = layer
        full = layer.maps.inner is None
        self.gradient = LowRankGradient(layer.maps.map) if low_rank and full else None

    def __call__(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        layer, maps = self.layer, self.layer.maps
        seeds, batch, _ = x.shape
        too_large = batch > MAX_BATCH and self.gradient is None
        if too_large or not layer.is_random(mode):
            return type(layer).forward(layer, x, mode)
        columns = x.transpose(1, 2)
        inputs = torch.cat([columns, columns.new_ones(seeds, 1, batch)], 1)
        eps = mode.noise.normal("weights", *layer.noise_shape(batch, mode)).to(x.dtype)
        normalised = isinstance(maps, NormalisedMap)
        read = inputs[:, :-1] if normalised else maps.normalised(columns)
        if self.gradient is None:
            product = maps.product(read)
        else:
            product = low_rank_map(maps.map, read, self.gradient)
        product = product.view(seeds, 2, layer.fan_out, layer.fan_in + 1, batch)
        formula = formula_of(layer.options, mode.weight_kl)
        if not normalised:
            affine = maps.scale.view(-1), maps.shift.view(-1)
            h, nats = dynamic_linear(formula, product, inputs, eps, *affine, None)
        elif mode.batch_statistics:
            with maps.norm.moving(mode) as running:
                affine = maps.norm.gamma, maps.norm.beta
                h, nats = dynamic_linear(
                    formula, product, inputs, eps, *affine, running
                )
        else:  # a scale and a shift for each seed
            each = zip(product, inputs, eps, *maps.norm.as_affine(), strict=True)
            found = [
                dynamic_linear(formula, p[None], x[None], e[None], scale, shift, None)
                for p, x, e, scale, shift in each
            ]
            h, nats = (torch.cat(parts) for parts in zip(*found, strict=True))
        return h.transpose(1, 2), layer.over_images(nats, batch)


def dynamic_linear(
    formula: Formula,
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    scale: Tensor,
    shift: Tensor,
    running: Running | None,
) -> tuple[Tensor, Tensor]:
    """w x for each image, w = mu + softplus(rho) eps, and the KL over all images.

    `maps`, (seeds, 2, out, in, batch), are mu and rho as M x gives them; `inputs` are
    (seeds, in, batch), the last of them 1 for the bias. `eps` is (seeds, out, in,
    batch), or (seeds, out, batch) for the same distribution of the output with one draw
    each. With `running`, batch norm over the images comes first: `scale` and `shift`,
    (seeds, 2 out in), are its gamma and beta, and the running statistics, where there
    are any, move towards those of the batch. Without, they are (2 out in), those of all
    seeds. Gives (seeds, out, batch) and nats (seeds,), zero without a KL.

    Gradients are those of maps, inputs, gamma and beta, once. Raises ValueError where a
    shape does not fit.
    """
    seeds, _, fan_out, fan_in, batch = maps.shape
    if batch > MAX_BATCH:
        raise ValueError(f"a minibatch of {batch} images; at most {MAX_BATCH} fit")
    each = [fan_in] if eps.ndim == 4 else []
    affine = ([] if running is None else [seeds]) + [2 * fan_out * fan_in]
    shapes = [seeds, fan_in, batch], [seeds, fan_out, *each, batch], affine, affine
    for tensor, shape in zip((inputs, eps, scale, shift), shapes, strict=True):
        # a kernel would read past the end of a tensor that does not fit
        if list(tensor.shape) != shape or tensor.dtype != maps.dtype:
            raise ValueError(
                f"found {list(tensor.shape)} of {tensor.dtype}, expected {shape} of "
                f"{maps.dtype}"
            )
    return _DynamicLinear.apply(formula, running, maps, inputs, eps, scale, shift)


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
        by_maps, by_inputs, by_scale, by_shift = _kernels(maps).launch_backward(
            ctx.formula,
            ctx.statistics,
            maps,
            inputs,
            eps,
            scale,
            shift,
            kept,
            by_h.contiguous(),
            by_nats.contiguous(),
            inputs_need_gradient=ctx.needs_input_grad[3],
        )
        return None, None, by_maps, by_inputs, None, by_scale, by_shift


def _kernels(maps: Tensor) -> ModuleType:
    """Those in C for a CPU, those in Triton for a GPU and for Triton's interpreter."""
    if maps.device.type == "cpu" and not interpreted():
        from comvae.engine.fused import native

        return native
    from comvae.engine.fused import triton_layer

    return triton_layer
