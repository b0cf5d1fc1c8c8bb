"""Statistics over the seeds of a study: means, intervals, and paired differences."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
COVERS = (
    "An interval is over seeds: it covers another training on the same images, not "
    "other test images."
)

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


def reach(row: pd.Series) -> float:
    """How far from zero the mean of a row and its interval reach; NaN without both."""
    return float(row[["mean", "ci_low", "ci_high"]].astype(float).abs().max())


def p_value(found: dict[str, float], at_least: float = 0.0) -> float:
    """That of an effect against `at_least`, two-sided, by Student's t over its seeds.

    It is below 1 - CONFIDENCE where the interval of `effect` does not hold `at_least`;
    NaN without an interval.
    """
    freedom = found["n_seeds"] - 1
    if freedom < 1:
        return np.nan
    error = (found["ci_high"] - found["effect"]) / stdtrit(
        freedom, (1 + CONFIDENCE) / 2
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.float64(found["effect"] - at_least) / error)
    return float(2 * stdtr(freedom, -distance))


def p_text(value: float) -> str:
    """A p value to three decimals, empty where there is none."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values corrected for being many (Holm 1979); NaN is not one of them."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)  # NaN last
    times = np.arange(np.isfinite(p).sum(), 0, -1)
    times = np.pad(times, (0, len(p) - len(times)), constant_values=1)
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * times).clip(max=1)
    return corrected


def with_interval(mean: float, high: float, n_seeds: float, sign: str = "") -> str:
    """`mean ± half of the interval`, with as much of it as there is; or nothing."""
    if not n_seeds or np.isnan(mean):
        return ""
    text = f"{mean:{sign}.2f}"
    return text if n_seeds < 2 else f"{text} ± {high - mean:.2f}"
