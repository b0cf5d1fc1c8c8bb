"""From two studies, or two versions of one, to what they have in common."""

import math

import pandas as pd

from dashboard import records
from dashboard.charts.effects import effect_row
from dashboard.differences import by_seed, difference
from dashboard.study import Study

THERE = " there"  # the end of the names of the other study's models


def common(study: Study, other: Study) -> dict[str, list[str]]:
    """The models of which both have runs in their tables, by dataset."""
    found = {}
    for dataset in study.datasets:
        tables = [
            of for s in (study, other) if (of := s.of("runs", dataset)) is not None
        ]
        here, there = ([*map(set, (of["model"] for of in tables)), set(), set()])[:2]
        found[dataset] = study.in_order(sorted(here & there))
    return {dataset: models for dataset, models in found.items() if models}


def matched(
    study: Study, other: Study, view: tuple[str, str, str], models: list[str]
) -> pd.DataFrame:
    """By how much each model is better here than there, or higher in what has no better
    side: the rows of the chart of effects, n_seeds, verdict, and Here and There.

    `view` is dataset, split and metric. Where both have no seed in common, the effect
    is the difference of the means, without an interval.
    """
    dataset, split, metric = view
    ours, theirs = study.of("runs", dataset), other.of("runs", dataset)
    runs = pd.concat([ours, theirs.assign(model=theirs["model"] + THERE)])
    means = runs[runs["split"] == split].groupby(["model", "split"])[metric].mean()
    unpaired = means.reset_index().assign(dataset=dataset, seed=0)
    rows = []
    for model in models:
        pair = (model, model + THERE)
        found = difference(runs, *view, pair)
        if not found["n_seeds"]:
            found["effect"] = difference(unpaired, *view, pair)["effect"]
            found["verdict"] = "not paired"
        seeds = by_seed(runs, *view, pair)
        if len(seeds) and seeds.eq(0).all():
            found["verdict"] = "equal"
        more = {name: found[name] for name in ("n_seeds", "verdict")}
        more |= {f"seed_{seed:.0f}": value for seed, value in seeds.items()}
        sides = [means.get((name, split), math.nan) for name in pair]
        more |= dict(zip(("Here", "There"), sides, strict=True))
        rows.append(effect_row(model, study.title(model), model, found) | more)
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
