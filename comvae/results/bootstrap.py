"""An interval over seeds and images, by a hierarchical bootstrap.

Each of RESAMPLES draws as many seeds with replacement, and as many images: the same for
all of them, since all are measured on the same images. Drawn for each seed alone, the
noise of the images would shrink with every seed that adds none.
"""

from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from comvae.results.statistics import CONFIDENCE

RESAMPLES = 1000
DECIMALS = 6  # of the ends, in nats: sums in another order are the same
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@lru_cache(4)
def drawn(kind: str, count: int) -> np.ndarray:
    """How often each of `count` is drawn, as a share: (RESAMPLES, count).

    The same whenever it is asked for; `kind` keeps seeds and images apart.
    """
    random = np.random.default_rng([*kind.encode(), count])
    shares = np.empty((RESAMPLES, count))
    for row in shares:
        row[:] = np.bincount(random.integers(count, size=count), minlength=count)
    return shares / count


def image_deviations(values: np.ndarray) -> np.ndarray:
    """How far the mean over drawn images is from that over all: values (runs, images,
    quantities) -> (runs, RESAMPLES, quantities), float32: those of a cell are kept."""
    runs, images, quantities = values.shape
    centred = values - values.mean(1, keepdims=True)
    columns = centred.transpose(1, 0, 2).reshape(images, runs * quantities)
    deviations = (drawn("images", images) @ columns).astype(np.float32)
    return deviations.reshape(RESAMPLES, runs, quantities).transpose(1, 0, 2)


def interval(means: np.ndarray, deviations: np.ndarray) -> tuple[float, float]:
    """The ends of the interval around the mean of `means`, (seeds,), with `deviations`,
    (seeds, RESAMPLES), of one quantity; NaN below two seeds.

    Few seeds, drawn from themselves, spread too little. So the part of the seeds is
    made as wide as their Student's t interval: with images without noise this is it.
    """
    there = np.isfinite(means)
    seeds = int(there.sum())
    if seeds < 2:
        return np.nan, np.nan
    means, shares = means[there], drawn("seeds", seeds)
    between = shares @ (means - means.mean())
    half = stdtrit(seeds - 1, ENDS[1]) * means.std(ddof=1) / np.sqrt(seeds)
    low, high = np.quantile(between, ENDS)
    if high > low:
        between *= 2 * half / (high - low)
    within = (shares * deviations[there].T).sum(1)
    low, high = means.mean() + np.quantile(between + within, ENDS)
    return round(float(low), DECIMALS), round(float(high), DECIMALS)
