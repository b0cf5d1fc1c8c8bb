"""Statistics over the seeds of a study: means, intervals, and paired differences."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95

Term = tuple[float, str, str]  # weight, model, split


def summary(values: pd.Series) -> dict[str, float]:
    """mean, std, ci_low, ci_high and n_seeds of the values that are there.

    The interval is Student's t over the values, one of each seed; it is empty below
    two.
    """
    values = values.dropna().astype(float)
    n = len(values)
    mean = values.mean() if n else np.nan
    std = values.std(ddof=1) if n > 1 else np.nan
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * std / np.sqrt(n) if n > 1 else std
    return dict(mean=mean, std=std, ci_low=mean - half, ci_high=mean + half, n_seeds=n)


def paired(
    runs: pd.DataFrame, dataset: str, metric: str, terms: Iterable[Term]
) -> pd.Series:
    """The weighted sum of `terms` of each seed, over the seeds that have all of them.

    Seeds pair what they share: two models with the same seed see their images in the
    same order and the same latent noise.
    """
    of_dataset = runs[runs["dataset"] == dataset]
    columns = []
    for weight, model, split in terms:
        chosen = (of_dataset["model"] == model) & (of_dataset["split"] == split)
        values = of_dataset[chosen].set_index("seed")[metric].astype(float)
        columns.append(weight * values)
    together = pd.concat(columns, axis=1, join="inner")
    return together.dropna().sum(axis=1)


def effect(values: pd.Series) -> dict[str, float]:
    """effect, ci_low, ci_high and n_seeds of paired differences."""
    found = summary(values)
    return {
        "effect": found["mean"],
        **{name: found[name] for name in ("ci_low", "ci_high", "n_seeds")},
    }
