"""How much of vanilla's amortization gap each model closes, and at what price."""

from pathlib import Path

import pandas as pd

from comvae.results import paths
from comvae.results.formats import CURVE, PRICE, RIVALS, SVI
from comvae.results.quantities import names
from comvae.results.reading import load_table
from comvae.results.statistics import effect, paired, summary
from comvae.results.tables.attribution import BASELINE
from comvae.study.plan import Block, Plan

GAP = "amortization_gap"
SEARCH = "svi-"  # begins the names of models that are steps from vanilla's encoder
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


def curve_table(results: Path, plan: Plan, price: pd.DataFrame) -> pd.DataFrame:
    """The gap on test images after so many steps from vanilla's encoder, mean and 95%
    interval over seeds, in nats per image, by dataset; no row where none is measured.

    It is that of the model with the most steps, which has all points. The time of a
    step is that model's, over vanilla's, divided by its decoder evaluations.
    """
    rows = []
    for dataset in plan.datasets:
        found = {
            model: points
            for model in plan.models
            if model.startswith(SEARCH)
            and not (points := _points(results, plan, dataset, model)).empty
        }
        if not found:
            continue
        model = max(found, key=lambda name: found[name]["steps"].max())
        cost = price[price["dataset"] == dataset].set_index("model")
        cost = cost.reindex([BASELINE, model])[
            ["encode_seconds", "decoder_evaluations"]
        ]
        (start, _), (end, evaluations) = cost.astype(float).to_numpy()
        for steps, at in found[model].groupby("steps"):
            used = at["evaluations"].mean()
            seconds = start + used * (end - start) / evaluations
            cell = dict(dataset=dataset, model=model, steps=steps, evaluations=used)
            gaps = summary(at[GAP])
            cell |= {GAP: gaps.pop("mean"), "encode_seconds": seconds}
            rows.append(cell | gaps)
    return pd.DataFrame(rows, columns=CURVE.columns)


def _points(results: Path, plan: Plan, dataset: str, model: str) -> pd.DataFrame:
    """The steps of a model's own optimiser on test images, of all of its blocks."""
    tables = [
        table
        for block in plan.blocks
        if (block.dataset, block.model) == (dataset, model)
        and (table := load_table(_svi(results, block), SVI)) is not None
    ]
    points = pd.concat([pd.DataFrame(columns=SVI.columns), *tables])
    own = points["optimiser"].eq("momentum") & points["split"].eq("test")
    return points[own]


def _svi(results: Path, block: Block) -> Path:
    return paths.svi(paths.evaluation_folder(results, block.folder, block.measured))
