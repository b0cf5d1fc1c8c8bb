"""The dynamic layers of a model, swapped for the same formula in fused kernels.

A DBNN layer 784 -> 100 has 123 M parameters, all of them in the maps of its weights,
and its step is bound by memory. Plain PyTorch writes and reads the gradient of every
map and half a dozen tensors of the size of the weights of all images. `fuse` lets a
layer

- compute all between the outputs of its maps and its own output in one pass each way:
  batch norm, softplus, noise, product with the input and weight KL (`layer`), in
  Triton on a GPU and in C on a CPU;
- leave the gradient of its maps in two factors (`low_rank`), from which `FusedAdam`
  updates the maps tile by tile. Maps that are products (`dynamic.rank`) are small, as
  are those of few inputs on a CPU: their gradients are plain.

On a CPU the decoder, with all between it and the encoder, takes its step in C, and so
does an encoder whose layers are all plain (`plain_step`).

The layer of `model.layers` is what the tests hold the kernels to. Triton is imported
only where a kernel runs: the modules named `triton_*` need it, the others do not.
"""

import logging

import torch
from torch import nn

from comvae.engine.fused import native
from comvae.engine.fused.available import unavailable
from comvae.engine.fused.formula import without_kernel
from comvae.engine.fused.layer import FusedForward
from comvae.engine.fused.low_rank import LowRankGradient
from comvae.engine.fused.optimiser import FusedAdam
from comvae.engine.fused.plain import PlainStep, without_plain_step
from comvae.engine.fused.support import interpreted
from comvae.model.layers import DynamicBayesianLinear
from comvae.model.vae import VAE

__all__ = ["FusedAdam", "LowRankGradient", "fuse", "plain_step"]

log = logging.getLogger("comvae")


def fuse(
    model: nn.Module, device: torch.device, training: bool = True
) -> list[LowRankGradient]:
    """Let the dynamic layers of `model` run with the kernels, where these can run.

    Gives the low-rank gradients that the optimiser has to know, where it is for
    `training`. Where a layer stays plain the log says why: it is slower, with the same
    results.
    """
    layers = [m for m in model.modules() if isinstance(m, DynamicBayesianLinear)]
    if not layers:
        return []
    on_gpu = device.type == "cuda"
    reason = without_kernel(layers[0].options)
    reason = reason or (unavailable(device) if on_gpu else native.unavailable())
    if reason:
        log.warning("The dynamic layers run without kernels, slower: %s", reason)
        return []
    for layer in layers:
        wide = on_gpu or layer.fan_in >= native.LANES
        layer.forward = FusedForward(layer, low_rank=wide and training)
    gradients = (layer.forward.gradient for layer in layers)
    return [gradient for gradient in gradients if gradient is not None]


def plain_step(
    vae: VAE, optimiser: FusedAdam, device: torch.device
) -> PlainStep | None:
    """The plain layers of a step, in C; None on a GPU, which captures the whole step,
    and where C cannot run or does not know the model, which the log says."""
    if device.type == "cuda" or interpreted():
        return None
    reason = native.unavailable() or without_plain_step(vae)
    if reason:
        log.warning("The plain layers run without kernels, slower: %s", reason)
        return None
    return PlainStep(vae, optimiser)
