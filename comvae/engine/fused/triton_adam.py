"""The Triton kernel of the low-rank Adam; `low_rank_adam_` says what it does."""

import triton
import triton.language as tl
from torch import Tensor

# No autotuner: it runs a kernel many times, and each run of this one is a step. These
# are the fastest of nine tilings on an H200 (docs/performance.md).
TILE_ROWS = 16
TILE_COLUMNS = 64
TILE_BATCH = 32
WARPS = 4


def launch(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    left: Tensor,
    right: Tensor,
    step: Tensor,
    rates: tuple[float, ...],
    eps: float,
    precision: str,
) -> None:
    """Arguments as in `low_rank_adam_`; `rates` as they stand in the kernel."""
    seeds, rows, columns = param.shape
    tiles = triton.cdiv(rows, TILE_ROWS) * triton.cdiv(columns, TILE_COLUMNS)
    low_rank_adam_kernel[(tiles, seeds)](
        param,
        exp_avg,
        exp_avg_sq,
        left,
        right,
        step,
        *rates,
        eps,
        rows,
        columns,
        left.shape[2],
        PRECISION=precision,
        TILE_ROWS=TILE_ROWS,
        TILE_COLUMNS=TILE_COLUMNS,
        TILE_BATCH=TILE_BATCH,
        num_warps=WARPS,
    )


@triton.jit
def one_minus_exp(y):
    """1 - e^y for y < 0. The difference alone loses four digits at -0.001, the first
    step of beta2: there, the rounding of e^y is divided out."""
    u = tl.exp(y)
    near = u > 0.5
    log_u = tl.log(tl.where(near, u, 0.5))
    return tl.where(near, (1.0 - u) * (y / log_u), 1.0 - u)


@triton.jit
def low_rank_adam_kernel(
    param,
    exp_avg,
    exp_avg_sq,
    left,
    right,
    step,
    lr,
    beta1,
    beta2,
    one_minus_beta1,
    one_minus_beta2,
    log_beta1,
    log_beta2,
    eps,
    rows,
    columns,
    batch,
    PRECISION: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    TILE_BATCH: tl.constexpr,
):
    """One tile of one seed. Tiles of the same rows follow each other, so that their
    rows of `left` are still in the cache."""
    tile, seed = tl.program_id(0), tl.program_id(1).to(tl.int64)
    column_tiles = tl.cdiv(columns, TILE_COLUMNS)
    first_row = tile // column_tiles * TILE_ROWS
    n = tl.arange(0, TILE_ROWS)
    k = tile % column_tiles * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    in_rows, in_columns = first_row + n < rows, k < columns

    # 64 bits where all seeds together can pass 2^31 elements, 32 within a tile
    row = seed * rows + first_row
    param += row * columns
    exp_avg += row * columns
    exp_avg_sq += row * columns
    left += row * batch
    right += seed * columns * batch
    here = n[:, None] * columns + k[None, :]
    inside = in_rows[:, None] & in_columns[None, :]

    gradient = tl.zeros((TILE_ROWS, TILE_COLUMNS), dtype=tl.float32)
    for start in range(0, batch, TILE_BATCH):
        b = start + tl.arange(0, TILE_BATCH)
        a = tl.load(
            left + n[:, None] * batch + b[None, :],
            mask=in_rows[:, None] & (b < batch)[None, :],
            other=0.0,
        )
        x = tl.load(
            right + k[None, :] * batch + b[:, None],
            mask=in_columns[None, :] & (b < batch)[:, None],
            other=0.0,
        )
        gradient = tl.dot(a, x, gradient, input_precision=PRECISION)

    m = tl.load(exp_avg + here, mask=inside, other=0.0)
    v = tl.load(exp_avg_sq + here, mask=inside, other=0.0)
    w = tl.load(param + here, mask=inside, other=0.0)
    m = beta1 * m + one_minus_beta1 * gradient
    v = beta2 * v + one_minus_beta2 * gradient * gradient
    number = tl.load(step)
    scale = lr / one_minus_exp(number * log_beta1)
    root = tl.sqrt(one_minus_exp(number * log_beta2))
    w -= scale * m / (tl.sqrt(v) / root + eps)

    tl.store(exp_avg + here, m, mask=inside)
    tl.store(exp_avg_sq + here, v, mask=inside)
    tl.store(param + here, w, mask=inside)
