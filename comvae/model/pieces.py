"""Work on all weights of all images, in pieces that stay in the cache of a CPU."""

from collections.abc import Iterator

from torch import Tensor

PIECE = 2**19  # numbers in a piece: two megabytes per tensor, for a cache of some MB


def pieces(
    seeds: int, rows: int, row_size: int, like: Tensor
) -> Iterator[tuple[slice, slice]]:
    """Slices of the seeds and of the rows of one seed, (slice, slice).

    All at once on a GPU; on a CPU as many whole seeds as fit into a piece, or as many
    rows of one seed.
    """
    if like.is_cuda:
        yield slice(seeds), slice(rows)
        return
    together = max(1, PIECE // (rows * row_size))
    step = rows if together > 1 else max(1, PIECE // row_size)
    for seed in range(0, seeds, together):
        for row in range(0, rows, step):
            yield slice(seed, seed + together), slice(row, row + step)
