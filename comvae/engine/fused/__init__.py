"""Fused kernels of the compound step (issue 4, item 3; DESIGN, section 6).

A DBNN layer 784 -> 100 has 123 M parameters, all of them in the maps M of its weights,
and its step is bound by memory. Plain PyTorch writes and reads the gradient of every
map and half a dozen tensors of the size of the weights of all images. Here instead:

- `low_rank_map` is M x, and its backward pass leaves the two factors of M's gradient in
  a `LowRankGradient` rather than their product;
- `FusedAdam` is Adam, which updates such a map from the two factors, tile by tile
  (`low_rank_adam_`);
- `dynamic_linear` is everything between the outputs of the maps and the layer's output:
  batch norm, softplus, noise, product with the input and weight KL.

All of them run on a GPU, in Triton; `dynamic_linear` also runs on a CPU, in C
(`native`). `unavailable` of either says why it cannot run somewhere. Each has a plain
version in PyTorch beside it, to which the tests hold it. Triton is imported only where
a kernel runs: the modules named `*_kernel` need it, the others do not.
"""

from comvae.engine.fused.adam import low_rank_adam_, low_rank_adam_reference_
from comvae.engine.fused.formula import (
    BatchNormalised,
    Scaled,
    dynamic_linear,
    dynamic_linear_reference,
    has_kernel,
)
from comvae.engine.fused.low_rank import LowRankGradient, low_rank_map
from comvae.engine.fused.optimiser import FusedAdam
from comvae.engine.fused.support import unavailable

__all__ = [
    "BatchNormalised",
    "FusedAdam",
    "LowRankGradient",
    "Scaled",
    "dynamic_linear",
    "dynamic_linear_reference",
    "has_kernel",
    "low_rank_adam_",
    "low_rank_adam_reference_",
    "low_rank_map",
    "unavailable",
]
