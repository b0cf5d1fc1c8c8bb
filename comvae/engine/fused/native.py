"""The C kernels of a DBNN layer on a CPU: layer.py says what they do.

Built by pip where there is a C compiler; `unavailable()` says why they are not there.
"""

import ctypes
import functools
import importlib.util
from ctypes import Structure, byref, c_float, c_int32, c_int64, c_void_p

import torch
from torch import Tensor

from comvae.engine.fused.formula import Formula
from comvae.model.maps import NORM_EPS, Running

KINDS = ("none", "closed", "sampled", "mixture")
LANES = 16  # weights of a tile, and images at a time, as in vectors.h
# for AVX-512, for AVX2, and for any processor
BUILDS = {"AVX512": "_native_v4", "AVX2": "_native_v3", "": "_native"}
OUTS_TOGETHER = 8  # the gradient of the inputs is summed over so many outputs at a time


def structure(**fields: str) -> type[Structure]:
    """A structure of C: names of fields by their type, in order."""
    kinds = {"int64": c_int64, "int32": c_int32, "float": c_float, "pointer": c_void_p}
    listed = [(n, kinds[kind]) for kind, names in fields.items() for n in names.split()]
    return type("_Structure", (Structure,), {"_fields_": listed})


Layer = structure(
    int64="seeds outs ins batch outs_together",
    int32="normalised each_weight kl threads",
    float="norm_eps constant half log_ratio excess",
)
_Forward = structure(
    pointer="maps inputs eps scale shift mean var h spread nats",
)
_Backward = structure(
    pointer="maps inputs eps ratio scale shift mean var "
    "by_h by_nats by_maps by_inputs by_scale by_shift",
)
ADAM = "rate root new_mean keep_square new_square epsilon"  # as in adam.h
_LowRank = structure(
    pointer="weight mean square left right",
    int64="seeds rows columns batch",
    int32="threads",
    float=ADAM,
)


_Product = structure(
    pointer="weight inputs to",
    int64="seeds rows terms batch row term weight_apart inputs_apart to_apart",
    int32="adds threads",
)


@functools.cache
def unavailable() -> str | None:
    """Why the C kernels cannot run here; None where they can."""
    try:
        library()
    except (ImportError, OSError, AttributeError) as error:
        return f"{error}; `pip install -e .` builds them with a C compiler"
    return None


def launch_forward(
    formula: Formula,
    running: Running | None,
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    scale: Tensor,
    shift: Tensor,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """As `launch_forward` of triton_layer.py, for float32 on a CPU.

    Raises ValueError for other numbers.
    """
    if maps.dtype != torch.float32:
        raise ValueError(f"maps is {maps.dtype}; expected float32 for the C kernels")
    seeds, _, outs, ins, batch = maps.shape
    layer = layer_of(
        formula,
        running is not None,
        (seeds, outs, ins, batch),
        eps.ndim == 4,
        torch.get_num_threads(),
    )
    h = maps.new_empty(seeds, outs, batch)
    spread = None if eps.ndim == 4 else torch.empty_like(h)
    nats = torch.zeros(seeds, outs, dtype=torch.float64)
    mean, var = torch.empty_like(scale), torch.empty_like(scale)
    arrays = _Forward(
        *_addresses(maps, inputs, eps, scale, shift, mean, var, h, spread, nats)
    )
    library().comvae_forward(byref(layer), byref(arrays))
    if running is not None:
        running_mean, running_var, momentum = running
        if running_mean is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var * (batch / (batch - 1)), momentum)
    total = nats.sum(1).to(maps.dtype)
    if spread is None:
        return h, total, (mean, var)
    # no variance, no noise: its gradient is zero then, not infinite
    ratio = eps * torch.where(spread > 0, spread.rsqrt(), 0)
    return h.addcmul_(spread, ratio), total, (mean, var, ratio)


def launch_backward(
    formula: Formula,
    statistics: bool,
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    scale: Tensor,
    shift: Tensor,
    kept: tuple[Tensor, ...],
    by_h: Tensor,
    by_nats: Tensor,
    inputs_need_gradient: bool,
) -> tuple[Tensor | None, ...]:
    """As `launch_backward` of triton_layer.py; `kept` is from the forward pass."""
    seeds, _, outs, ins, batch = maps.shape
    mean, var, *ratio = kept
    shape = seeds, outs, ins, batch
    layer = layer_of(formula, statistics, shape, not ratio, torch.get_num_threads())
    by_maps = torch.empty_like(maps)
    by_inputs = maps.new_zeros(seeds, -(-outs // OUTS_TOGETHER), ins, batch)
    by_scale = by_shift = None
    if statistics:
        by_scale, by_shift = torch.empty_like(scale), torch.empty_like(shift)
    arrays = _Backward(
        *_addresses(maps, inputs, eps, ratio[0] if ratio else None, scale, shift),
        *_addresses(mean, var, by_h, by_nats, by_maps, by_inputs, by_scale, by_shift),
    )
    library().comvae_backward(byref(layer), byref(arrays))
    by_inputs = by_inputs.sum(1) if inputs_need_gradient else None
    return by_maps, by_inputs, by_scale, by_shift


def launch_product(maps: Tensor, x: Tensor) -> Tensor:
    """`torch.bmm`, whose library copies all of the maps first for so few images."""
    seeds, rows, columns = maps.shape
    batch = x.shape[2]
    out = maps.new_empty(seeds, rows, batch)
    apart = rows * columns, columns * batch, rows * batch
    product = _Product(
        *_addresses(maps, x, out),
        seeds,
        rows,
        columns,
        batch,
        columns,
        1,
        *apart,
        False,
        torch.get_num_threads(),
    )
    library().comvae_product(byref(product))
    return out


def launch_low_rank_adam(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    numbers: dict[str, float],
) -> None:
    """As `low_rank_adam_` of optimiser.py; rows have at least LANES columns."""
    images_first = right.mT.contiguous()
    tensors = param, exp_avg, exp_avg_sq, left, images_first
    sizes = *param.shape, left.shape[-1]
    arrays = _LowRank(
        *_addresses(*tensors), *sizes, torch.get_num_threads(), *numbers.values()
    )
    library().comvae_low_rank_adam(byref(arrays))


def layer_of(
    formula: Formula,
    normalised: bool,
    shape: tuple[int, int, int, int],
    each_weight: bool,
    threads: int,
) -> Structure:
    """What the kernels know of a layer; `shape` is seeds, outputs, inputs, images."""
    numbers = formula.constant, formula.half, formula.log_ratio, formula.excess
    kind = KINDS.index(formula.kind)
    flags = normalised, each_weight, kind, threads
    return Layer(*shape, OUTS_TOGETHER, *flags, NORM_EPS, *numbers)


def _addresses(*tensors: Tensor | None) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


@functools.cache
def library() -> ctypes.CDLL:
    """The kernels for the widest vectors that this processor has.

    A shared library, not a Python module, that only pip's builder treats as one; it
    shares the OpenMP runtime that torch has loaded.
    """
    widest = torch.backends.cpu.get_cpu_capability()
    widths = list(BUILDS)
    first = widths.index(widest) if widest in widths else -1
    for width in widths[first:]:
        found = importlib.util.find_spec(f"comvae.engine.fused.{BUILDS[width]}")
        if found is not None:
            return ctypes.CDLL(found.origin)
    raise ImportError("comvae/engine/fused/native.c has not been compiled")
