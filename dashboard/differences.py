"""Differences between models, paired over the seeds, judged by the rule of the claims.

The statistics are those of results/statistics.py, the rule that of results/verdicts.py.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from comvae.results.quantities import QUANTITIES
from comvae.results.statistics import COVERS, effect, paired
from comvae.results.verdicts import RESOLUTION, verdict
from dashboard.charts.effects import effect_row
from dashboard.study import Study

View = tuple[str, str, str]  # dataset, split and metric

UNSURE = {"inconclusive": "inside the noise", "not run": "no seed in common"}
GAIN = {"supported": "better", "contradicted": "worse"} | UNSURE
"""What the rule says of a difference whose plus is better."""
CHANGE = {"supported": "higher", "contradicted": "lower"} | UNSURE
"""What it says of one in a quantity that has no better side."""

RULE = (
    "A difference counts as real where its 95% interval (Student's t over the seeds "
    "that both models have, paired by seed) excludes 0 and it is larger than "
    f"{RESOLUTION:g} nats per image, which the estimators cannot tell apart. With one "
    f"seed nothing can be told. {COVERS} It is not corrected for the number of "
    "comparisons."
)


def by_seed(
    runs: pd.DataFrame, dataset: str, split: str, metric: str, models: tuple[str, str]
) -> pd.Series:
    """By how much the first model is better than the second in `metric`, by seed, in
    its unit; by how much higher, where neither side is better."""
    sign = -1.0 if QUANTITIES[metric].better == "lower" else 1.0
    terms = [(sign, models[0], split), (-sign, models[1], split)]
    return paired(runs, dataset, metric, terms)


def difference_row(
    runs: pd.DataFrame, study: Study, view: View, models: tuple[str, str]
) -> dict[str, Any]:
    """That as a row of the chart of effects, with each seed's as `seed_<s>`, n_seeds,
    and verdict: what the rule says of it."""
    seeds, (model, _) = by_seed(runs, *view, models), models
    found = effect(seeds)
    words = GAIN if QUANTITIES[view[2]].better else CHANGE
    row = effect_row(model, study.title(model), model, found)
    row |= {f"seed_{seed:.0f}": value for seed, value in seeds.items()}
    return row | {"n_seeds": found["n_seeds"], "verdict": words[verdict(found)]}


def to_first(
    runs: pd.DataFrame, study: Study, view: View, models: Sequence[str]
) -> pd.DataFrame:
    """The row of every model against the first of `models`."""
    first, *others = models
    rows = [difference_row(runs, study, view, (model, first)) for model in others]
    return pd.DataFrame(rows)
