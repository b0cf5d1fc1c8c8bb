"""From two studies, or two versions of one, to what they have in common."""

import math

import pandas as pd

from dashboard import records
from dashboard.differences import View, difference_row
from dashboard.study import Study
from dashboard.summary import METRIC

THERE = " there"  # the end of the names of the other study's models


def common(study: Study, other: Study) -> dict[str, list[str]]:
    """The models of which both have runs in their tables, by dataset."""
    found = {}
    for dataset in study.datasets:
        ours, theirs = study.of("runs", dataset), other.of("runs", dataset)
        if ours is not None and theirs is not None:
            ours, theirs = (of.dropna(subset=METRIC) for of in (ours, theirs))
            both = ours.loc[ours["model"].isin(theirs["model"]), "model"]
            found |= {dataset: study.in_order(both)} if len(both) else {}
    return found


def matched(study: Study, other: Study, view: View, models: list[str]) -> pd.DataFrame:
    """By how much each model is better here than there, or higher in what has no better
    side: the rows of the chart of effects, n_seeds, verdict, and Here and There.

    `view` is dataset, split and metric. Where both have no seed in common, the effect
    is the difference of the means, without an interval.
    """
    dataset, split, metric = view
    ours, theirs = study.of("runs", dataset), other.of("runs", dataset)
    runs = pd.concat([ours, theirs.assign(model=theirs["model"] + THERE)])
    means = runs[runs["split"] == split].groupby("model")[metric].mean()
    unpaired = means.reset_index().assign(dataset=dataset, split=split, seed=0)
    rows = []
    for model in models:
        pair = (model, model + THERE)
        row = difference_row(runs, study, view, pair)
        if not row["n_seeds"]:
            row = difference_row(unpaired, study, view, pair)
            row |= {"n_seeds": 0, "verdict": "not paired", "seed_0": math.nan}
        elif not any(value for name, value in row.items() if name[:5] == "seed_"):
            row["verdict"] = "equal"
        sides = {"Here": model, "There": model + THERE}
        rows.append(row | {side: means.get(name) for side, name in sides.items()})
    return pd.DataFrame(rows).dropna(subset="effect")


def settings(
    study: Study, other: Study, dataset: str, models: list[str]
) -> pd.DataFrame:
    """Settings, code and libraries that differ: What, Models, Here and There."""
    sides = [each.runs_on(dataset) for each in (study, other)]
    of_model = [records.load_settings(runs) for runs in sides]
    blocks = [records.load_blocks(runs)[0] for runs in sides]
    code = [records.recorded(each, records.of_code(each)) for each in blocks]
    pairs = {
        study.title(model): [of.get(model, {}) for of in of_model] for model in models
    }
    rows: dict[tuple[str, ...], list[str]] = {}
    for who, pair in (pairs | {"all of them": code}).items():
        _, differing = records.compared(dict(zip("01", pair, strict=True)))
        for row in differing.itertuples(name=None):
            rows.setdefault(row, []).append(who)
    found = [
        (what, "all" if len(of) == len(models) else "; ".join(of), *values)
        for (what, *values), of in rows.items()
    ]
    return pd.DataFrame(found, columns=["What", "Models", "Here", "There"])
