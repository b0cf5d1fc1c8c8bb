"""Differences between models, paired over the seeds, judged by the rule of the claims.

The statistics are those of results/statistics.py, the rule that of results/claims.py.
"""

import pandas as pd

from comvae.results.claims import RESOLUTION, verdict
from comvae.results.statistics import COVERS, effect, paired

VERDICTS = {
    "supported": "clearly positive",
    "contradicted": "clearly negative",
    "inconclusive": "inside the noise",
    "not run": "no seed in common",
}
"""What the rule says of a difference that nobody claimed to be positive."""

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
    """The first model minus the second in `metric`, by seed, in its unit."""
    terms = [(1.0, models[0], split), (-1.0, models[1], split)]
    return paired(runs, dataset, metric, terms)


def difference(
    runs: pd.DataFrame, dataset: str, split: str, metric: str, models: tuple[str, str]
) -> dict[str, float | str]:
    """effect, ci_low, ci_high, n_seeds and verdict of the first minus the second."""
    found = effect(by_seed(runs, dataset, split, metric, models))
    return found | {"verdict": verdict(found)}
