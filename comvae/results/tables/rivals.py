"""How much of vanilla's amortization gap each model closes, and at what price."""

from pathlib import Path

import pandas as pd

from comvae.results import paths
from comvae.results.formats import PRICE, RIVALS
from comvae.results.quantities import names
from comvae.results.reading import load_table
from comvae.results.statistics import effect, paired
from comvae.results.tables.attribution import BASELINE
from comvae.study.plan import Plan

GAP = "amortization_gap"
SPENT = names("training", "rivals")


def load_price(study: Path) -> pd.DataFrame:
    """What was measured of a study, PRICE; no row where nothing was. Raises
    ResultsError where the file is damaged."""
    found = load_table(paths.price(study), PRICE)
    return pd.DataFrame(columns=PRICE.columns) if found is None else found


def rivals_table(plan: Plan, runs: pd.DataFrame, price: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and model: its mean gap on test images, by how much that is
    narrower than vanilla's, paired over seeds with its 95% interval, and its price.

    A positive effect is a narrower gap, in nats per image; vanilla itself has none.
    """
    rows = []
    for dataset in plan.datasets:
        for model in plan.models:
            terms = [(1.0, BASELINE, "test"), (-1.0, model, "test")]
            found = effect(paired(runs, dataset, GAP, terms))
            if model == BASELINE:
                found = effect(pd.Series(dtype=float))
            own = runs[(runs["dataset"] == dataset) & (runs["model"] == model)]
            means = own.loc[own["split"] == "test", [GAP, *SPENT]].astype(float).mean()
            rows.append(dict(dataset=dataset, model=model) | found | means.to_dict())
    keys = ["dataset", "model"]
    measured = price[[*keys, *names("price")]]
    return pd.DataFrame(rows).merge(measured, "left", keys)[RIVALS.columns]
