"""The Triton kernels of a DBNN layer; layer.py says what they do.

A tile is some inputs of one output unit, each with the weights of all images: it holds
what batch norm over the images needs. `inside` is the mask of a tile, `in_tile` that of
its inputs.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from comvae.engine.fused.formula import Formula
from comvae.model.maps import NORM_EPS, Running

TILE = 1024  # weights of a tile: 8 a thread
OUTPUTS = 4  # a tile's gradient of the inputs is summed over so many outputs
WARPS = 4


def launch_forward(
    formula: Formula,
    running: Running | None,
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    scale: Tensor,
    shift: Tensor,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """h (seeds, out, batch), nats (seeds,), and what the backward pass needs: of one
    draw per output, eps over the output's standard deviation, (seeds, out, batch).

    `running`: mean, variance and momentum of batch norm, of which scale and shift are
    gamma and beta then; None where the maps are scaled only.
    """
    seeds, _, fan_out, fan_in, batch = maps.shape
    tile = _tile(fan_in, batch)
    tiles = triton.cdiv(fan_in, tile["TILE_IN"])
    sampled = eps.ndim == 4
    h = maps.new_empty(seeds, fan_out, tiles, batch)
    variance = None if sampled else torch.empty_like(h)
    nats = maps.new_empty(seeds, fan_out, tiles) if formula.kind != "none" else None
    mean, var, momentum = running or (None, None, 0.0)
    forward_kernel[(tiles, fan_out, seeds)](
        maps,
        inputs,
        eps if sampled else None,
        scale,
        shift,
        mean,
        var,
        h,
        variance,
        nats,
        *_numbers(formula),
        momentum,
        fan_out,
        fan_in,
        batch,
        NORM_EPS=NORM_EPS if running else None,
        KL=formula.kind,
        **tile,
        num_warps=WARPS,
    )
    total = maps.new_zeros(seeds) if nats is None else nats.flatten(1).sum(1)
    if sampled:
        return h.sum(2), total, ()
    out, ratio = torch.empty_like(eps), torch.empty_like(eps)
    draw_kernel[(fan_out, seeds)](
        h,
        variance,
        eps,
        out,
        ratio,
        tiles,
        batch,
        TILES=max(1, TILE // tile["TILE_BATCH"]),
        TILE_BATCH=tile["TILE_BATCH"],
        num_warps=WARPS,
    )
    return out, total, (ratio,)


def launch_backward(
    formula: Formula,
    statistics: bool,
    maps: Tensor,
    inputs: Tensor,
    eps: Tensor,
    scale: Tensor,
    shift: Tensor,
    kept: Sequence[Tensor],
    by_h: Tensor,
    by_nats: Tensor,
    inputs_need_gradient: bool,
) -> tuple[Tensor | None, ...]:
    """Gradients of maps, inputs, scale and shift; None where there is none."""
    seeds, _, fan_out, fan_in, batch = maps.shape
    ratio = kept[0] if kept else None
    tile = _tile(fan_in, batch)
    outputs = OUTPUTS if inputs_need_gradient else 1
    grid = triton.cdiv(fan_in, tile["TILE_IN"]), triton.cdiv(fan_out, outputs), seeds
    by_maps, by_inputs, by_scale, by_shift = torch.empty_like(maps), None, None, None
    if inputs_need_gradient:
        by_inputs = maps.new_empty(seeds, grid[1], fan_in, batch)
    if statistics:
        by_scale, by_shift = torch.empty_like(scale), torch.empty_like(shift)
    backward_kernel[grid](
        maps,
        inputs,
        eps if ratio is None else None,
        ratio,
        scale,
        shift,
        by_h,
        by_nats,
        by_maps,
        by_inputs,
        by_scale,
        by_shift,
        *_numbers(formula),
        fan_out,
        fan_in,
        batch,
        NORM_EPS=NORM_EPS if statistics else None,
        KL=formula.kind,
        OUTPUTS=outputs,
        **tile,
        num_warps=WARPS,
    )
    if inputs_need_gradient:
        by_inputs = by_inputs.sum(1)
    return by_maps, by_inputs, by_scale, by_shift


def _tile(fan_in: int, batch: int) -> dict[str, int]:
    images = triton.next_power_of_2(batch)
    inputs = max(1, min(triton.next_power_of_2(fan_in), TILE // images))
    return {"TILE_IN": inputs, "TILE_BATCH": images}


def _numbers(formula: Formula) -> tuple[float, ...]:
    return formula.constant, formula.half, formula.log_ratio, formula.excess


@triton.jit
def softplus(x):
    """As `F.softplus`: the identity above 20. log(1 + z) keeps the digits of a small z,
    by dividing out the rounding of 1 + z."""
    z = tl.exp(tl.minimum(x, 20.0))
    u = 1.0 + z
    d = u - 1.0
    log1p = tl.where(d == 0.0, z, tl.log(u) * (z / tl.where(d == 0.0, 1.0, d)))
    return tl.where(x > 20.0, x, log1p)


@triton.jit
def normalised(maps, scale, shift, unit, i, here, own, inside, fan_in, batch, NORM_EPS):
    """scale y' + shift for the inputs i of a unit, (inputs, batch), where y' is what
    the maps gave, after batch norm or as it is; with y', what a gradient is multiplied
    with on its way back, and mean and variance."""
    at, in_tile = unit * fan_in + i - own, i < fan_in
    gamma = tl.load(scale + at, mask=in_tile, other=0.0)
    beta = tl.load(shift + at, mask=in_tile, other=0.0)
    y = tl.load(maps + unit * fan_in * batch + here, mask=inside, other=0.0)
    mean = tl.sum(y, 1) / batch
    centred = tl.where(inside, y - mean[:, None], 0.0)
    var = tl.sum(centred * centred, 1) / batch
    if NORM_EPS is not None:
        root = 1.0 / tl.sqrt(var + NORM_EPS)
        y = centred * root[:, None]
        slope = gamma * root
    else:
        slope = gamma
    return y * gamma[:, None] + beta[:, None], y, slope, mean, var


@triton.jit
def move(running_mean, running_var, unit, i, fan_in, batch, mean, var, momentum):
    """Move running statistics towards those of the batch."""
    at, in_tile = unit * fan_in + i, i < fan_in
    old = tl.load(running_mean + at, mask=in_tile)
    tl.store(running_mean + at, old + momentum * (mean - old), mask=in_tile)
    old = tl.load(running_var + at, mask=in_tile)
    unbiased = var * (batch / (batch - 1.0))
    tl.store(running_var + at, old + momentum * (unbiased - old), mask=in_tile)


@triton.jit
def denormalised(by_y, y, slope, by_scale, by_shift, at, in_tile, batch, NORM_EPS):
    """The gradient of the maps from that of `normalised`; stores those of gamma and
    beta, each of which belongs to one tile."""
    if NORM_EPS is not None:
        by_gamma, by_beta = tl.sum(by_y * y, 1), tl.sum(by_y, 1)
        tl.store(by_scale + at, by_gamma, mask=in_tile)
        tl.store(by_shift + at, by_beta, mask=in_tile)
        by_y -= y * (by_gamma / batch)[:, None] + (by_beta / batch)[:, None]
    return by_y * slope[:, None]


@triton.jit
def forward_kernel(
    maps,
    inputs,
    noise,  # None: one draw per output, later
    scale,
    shift,
    running_mean,
    running_var,
    h,
    variance,
    nats,
    constant,
    half,
    log_ratio,
    excess,
    momentum,
    fan_out,
    fan_in,
    batch,
    NORM_EPS: tl.constexpr,
    KL: tl.constexpr,
    TILE_IN: tl.constexpr,
    TILE_BATCH: tl.constexpr,
):
    """One tile: its parts of h, of its variance and of the KL; running statistics."""
    tile, o, seed = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    i, b = tile * TILE_IN + tl.arange(0, TILE_IN), tl.arange(0, TILE_BATCH)
    inside = (i < fan_in)[:, None] & (b < batch)[None, :]
    here = i[:, None] * batch + b[None, :]
    mu_unit, rho_unit = seed * 2 * fan_out + o, (seed * 2 + 1) * fan_out + o
    # one scale for all seeds without batch norm
    own = seed * 2 * fan_out * fan_in if NORM_EPS is None else 0

    x = tl.load(inputs + seed * fan_in * batch + here, mask=inside, other=0.0)
    mu, _, _, mean, var = normalised(
        maps, scale, shift, mu_unit, i, here, own, inside, fan_in, batch, NORM_EPS
    )
    if running_mean is not None:
        move(running_mean, running_var, mu_unit, i, fan_in, batch, mean, var, momentum)
    rho, _, _, mean, var = normalised(
        maps, scale, shift, rho_unit, i, here, own, inside, fan_in, batch, NORM_EPS
    )
    if running_mean is not None:
        move(running_mean, running_var, rho_unit, i, fan_in, batch, mean, var, momentum)

    sigma = softplus(rho)
    part = (seed * fan_out + o) * tl.num_programs(0) + tile
    if noise is None:
        w = mu
        spread = sigma * x  # x is zero outside
        spread = tl.sum(spread * spread, 0)
        tl.store(variance + part * batch + b, spread, mask=b < batch)
    else:
        first = (seed * fan_out + o) * fan_in * batch
        eps = tl.load(noise + first + here, mask=inside, other=0.0)
        w = mu + sigma * eps
    tl.store(h + part * batch + b, tl.sum(w * x, 0), mask=b < batch)

    if KL != "none":
        values = constant - tl.log(sigma)
        if KL == "closed":
            values += half * (mu * mu + sigma * sigma)
        else:
            values += half * (w * w) - 0.5 * eps * eps
            if KL == "mixture":
                values -= softplus(log_ratio - excess * (w * w))
        tl.store(nats + part, tl.sum(tl.where(inside, values, 0.0)))


@triton.jit
def draw_kernel(
    h_parts,
    variance_parts,
    noise,
    h,
    ratio,
    tiles,
    batch,
    TILES: tl.constexpr,
    TILE_BATCH: tl.constexpr,
):
    """One output unit: the sums over its tiles, and its draw for every image."""
    unit = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    b = tl.arange(0, TILE_BATCH)
    mean = tl.zeros((TILE_BATCH,), dtype=h.dtype.element_ty)
    variance = tl.zeros((TILE_BATCH,), dtype=h.dtype.element_ty)
    for start in range(0, tiles, TILES):
        tile = start + tl.arange(0, TILES)
        here = (unit * tiles + tile)[:, None] * batch + b[None, :]
        inside = (tile < tiles)[:, None] & (b < batch)[None, :]
        mean += tl.sum(tl.load(h_parts + here, mask=inside, other=0.0), 0)
        variance += tl.sum(tl.load(variance_parts + here, mask=inside, other=0.0), 0)
    eps = tl.load(noise + unit * batch + b, mask=b < batch, other=0.0)
    # no variance, no noise: its gradient is zero then, not infinite
    some = variance > 0.0
    over = tl.where(some, eps / tl.sqrt(tl.where(some, variance, 1.0)), 0.0)
    tl.store(h + unit * batch + b, mean + variance * over, mask=b < batch)
    tl.store(ratio + unit * batch + b, over, mask=b < batch)


@triton.jit
def backward_kernel(
    maps,
    inputs,
    noise,  # None: one draw per output
    ratio,  # None: one draw per weight
    scale,
    shift,
    by_h,
    by_nats,
    by_maps,
    by_inputs,
    by_scale,
    by_shift,
    constant,
    half,
    log_ratio,
    excess,
    fan_out,
    fan_in,
    batch,
    NORM_EPS: tl.constexpr,
    KL: tl.constexpr,
    OUTPUTS: tl.constexpr,
    TILE_IN: tl.constexpr,
    TILE_BATCH: tl.constexpr,
):
    """The tiles of OUTPUTS output units, and their part of the inputs' gradient."""
    chunk, seed = tl.program_id(1), tl.program_id(2).to(tl.int64)
    b = tl.arange(0, TILE_BATCH)
    i = tl.program_id(0) * TILE_IN + tl.arange(0, TILE_IN)
    in_tile = i < fan_in
    inside = in_tile[:, None] & (b < batch)[None, :]
    here = i[:, None] * batch + b[None, :]
    own = seed * 2 * fan_out * fan_in if NORM_EPS is None else 0
    x = tl.load(inputs + seed * fan_in * batch + here, mask=inside, other=0.0)
    if KL != "none":
        weight = tl.load(by_nats + seed)
    by_x = tl.zeros((TILE_IN, TILE_BATCH), dtype=maps.dtype.element_ty)

    for o in range(chunk * OUTPUTS, tl.minimum(fan_out, (chunk + 1) * OUTPUTS)):
        mu_unit, rho_unit = seed * 2 * fan_out + o, (seed * 2 + 1) * fan_out + o
        unit = seed * fan_out + o
        upstream = tl.load(by_h + unit * batch + b, mask=b < batch, other=0.0)[None, :]

        # the forward pass once more
        mu, mu_y, mu_slope, _, _ = normalised(
            maps, scale, shift, mu_unit, i, here, own, inside, fan_in, batch, NORM_EPS
        )
        rho, rho_y, rho_slope, _, _ = normalised(
            maps, scale, shift, rho_unit, i, here, own, inside, fan_in, batch, NORM_EPS
        )
        sigma = softplus(rho)

        by_mu = upstream * x
        if noise is None:
            over = tl.load(ratio + unit * batch + b, mask=b < batch, other=0.0)
            spread = upstream * over[None, :] * sigma * x
            by_sigma = spread * x
            by_x += upstream * mu + spread * sigma
        else:
            first = unit * fan_in * batch
            eps = tl.load(noise + first + here, mask=inside, other=0.0)
            w = mu + sigma * eps
            by_sigma = by_mu * eps
            by_x += upstream * w
        if KL == "closed":
            by_mu += weight * 2.0 * half * mu
            by_sigma += weight * (2.0 * half * sigma - 1.0 / sigma)
        elif KL != "none":
            precision = 2.0 * half
            if KL == "mixture":
                precision += 2.0 * excess * tl.sigmoid(log_ratio - excess * (w * w))
            by_w = weight * precision * w
            by_mu += by_w
            by_sigma += by_w * eps - weight / sigma
        # nothing from outside, where the KL has a gradient too
        by_mu = tl.where(inside, by_mu, 0.0)
        by_rho = tl.where(inside, by_sigma * tl.sigmoid(rho), 0.0)

        at = mu_unit * fan_in + i
        by_mu = denormalised(
            by_mu, mu_y, mu_slope, by_scale, by_shift, at, in_tile, batch, NORM_EPS
        )
        at = rho_unit * fan_in + i
        by_rho = denormalised(
            by_rho, rho_y, rho_slope, by_scale, by_shift, at, in_tile, batch, NORM_EPS
        )
        tl.store(by_maps + mu_unit * fan_in * batch + here, by_mu, mask=inside)
        tl.store(by_maps + rho_unit * fan_in * batch + here, by_rho, mask=inside)

    if by_inputs is not None:
        part = (seed * tl.num_programs(1) + chunk) * fan_in * batch
        tl.store(by_inputs + part + here, by_x, mask=inside)
