"""One run in detail: its settings, results, training curves and pictures."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from comvae.results import index as runs
from comvae.results.index import Run
from comvae.results.quantities import QUANTITIES, SPLITS
from comvae.results.reading import noting
from dashboard import elements as el
from dashboard import summary
from dashboard.charts.curves import by_seed, lines, message
from dashboard.sharp import enlarged
from dashboard.study import Study, warnings
from dashboard.text import NOTHING, number

MODES = {
    "default": "weights sampled, running statistics",
    "mean-weights": "every weight at its mean",
    "batch-statistics": "batch norm with the batch's statistics",
}
PICTURES = {
    "reconstructions": "Test images above their reconstructions, decoded from the "
    "mean of q(z given x).",
    "samples": "Images decoded from draws of the prior over z.",
}


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.runs_on(dataset)
    if not here:
        yield el.Notice(f"There is no run on {dataset} yet.")
        return
    models = list(dict.fromkeys(run.model for run in here))
    model = ask.one(el.Choice("Model", "model", models, study.title))
    here = [run for run in here if run.model == model]
    seed = ask.one(el.Choice("Seed", "seed", [run.seed for run in here]))
    run = next(run for run in here if run.seed == seed)
    yield el.Heading(study.title(run.model))
    yield _status(run)
    yield el.Link("runs", "Beside other runs, and in MLflow", {"dataset": dataset})
    problems: list[str] = []

    def loaded(load, *which):
        """What `load` gives for the run; a damaged file is noted, and None."""
        with noting(problems):
            return load(run, *which)

    history = loaded(runs.load_history)
    metrics = loaded(runs.load_metrics)
    pictures = {kind: loaded(_picture, kind) for kind in PICTURES}
    settings, training = loaded(runs.load_settings), loaded(runs.load_provenance)
    yield from warnings(p for p in problems if p not in study.index.problems)
    yield from _training(history, run.model, study.title(run.model))
    yield from _results(metrics, history, run)
    yield from _pictures(pictures, f"{study.title(run.model)}, seed {run.seed}.")
    yield from _settings(settings, training)


def _status(run: Run) -> el.Element:
    status = runs.STATUSES.get(run.status, run.status or "unknown")
    text = f"{run.dataset}, {run.model}, seed {run.seed}: {status}"
    if run.detail:
        text += f". {run.detail}"
    if run.status in ("finished", "evaluated"):
        return el.Caption(text)
    return el.Notice(text, "error" if run.status == "failed" else "warning")


def _picture(run: Run, kind: str) -> bytes | None:
    png = runs.load_picture(run, kind)
    if png is None:
        return None
    return enlarged(png, f"{run.evaluation}/pictures/seed-{run.seed}-{kind}.png")


def _training(
    history: pd.DataFrame | None, model: str, title: str
) -> Iterator[el.Element]:
    """The training curves: one panel for each term that is not 0 throughout."""
    yield el.Subheading("Training")
    if history is None:
        yield el.Text("There is no training history for this run yet.")
        return
    terms = [
        term
        for term in summary.measured_in(history)
        if not history[term].fillna(0).eq(0).all() or QUANTITIES[term].in_paper
    ]
    beside, charts = 2 if len(terms) == 4 else 3, []
    for term in terms:
        epochs = by_seed([(model, model, title, history)], term)
        if len(epochs):
            draw = partial(lines, epochs, term)
            charts.append([el.Chart(term, draw, message(epochs, term))])
    for start in range(0, len(charts), beside):
        yield el.Columns(charts[start : start + beside])
    text = (
        "How to read it: averages over each epoch while training, with weights and "
        "batch norm in training mode; lower is better for the negative ELBO. Each "
        "panel has its own scale."
    )
    if "weight_kl" in terms:
        text += " The weight KL is that of one whole network, not divided by images."
    broken = ~(history[terms].abs() < math.inf).all(axis=1)
    if broken.any():
        first = history.loc[broken, "epoch"].min()
        text += f" From epoch {first:.0f} on some values are not finite and not drawn."
    yield el.Caption(text)


def _results(
    metrics: pd.DataFrame | None, history: pd.DataFrame | None, run: Run
) -> Iterator[el.Element]:
    """The run's final terms: test, train, and the last epoch while training."""
    yield el.Subheading("Results")
    rows = []
    if metrics is not None:
        ranks = {"split": dict.fromkeys(["test", *SPLITS]), "mode": MODES}
        order = {by: {n: i for i, n in enumerate(ranks[by])} for by in ranks}
        known = metrics.sort_values([*ranks], key=lambda of: of.map(order[of.name]))
        for row in known.to_dict("records"):
            split = summary.split_title(row["split"])
            how = MODES.get(row["mode"], row["mode"])
            rows.append({"Split": split, "How": how} | _terms(row))
    else:
        failed = run.status == "failed"
        text = "A failed run is not evaluated." if failed else "Not evaluated yet."
        if history is not None:
            text += " This is its last epoch of training."
        yield el.Text(text)
    if history is not None:
        last = history.sort_values("epoch").iloc[-1].to_dict()
        how = f"running average of epoch {last['epoch']:.0f}"
        rows.append({"Split": SPLITS["train"].title, "How": how} | _terms(last))
    if rows:
        says = f"ELBO terms of this run in {len(rows)} ways of evaluating it."
        yield el.Table(pd.DataFrame(rows).fillna(NOTHING), says)
        yield el.Caption(
            "Reconstruction, latent KL and negative ELBO in nats per image; the weight "
            "KL in nats for one network."
        )


def _terms(row: dict[str, Any]) -> dict[str, str]:
    """The quantities of a row as text, by their titles."""
    return {
        quantity.title: number(row[name])
        for name, quantity in QUANTITIES.items()
        if not math.isnan(row.get(name, math.nan))
    }


def _pictures(pictures: dict[str, bytes | None], whose: str) -> Iterator[el.Element]:
    yield el.Subheading("Pictures")
    found = [
        [el.Picture(kind, png, f"{PICTURES[kind]} {whose}", PICTURES[kind])]
        for kind, png in pictures.items()
        if png is not None
    ]
    yield el.Columns(found) if found else el.Text("There are no pictures of this run.")


def _settings(settings: dict | None, training: dict | None) -> Iterator[el.Element]:
    yield el.Subheading("Settings and provenance")
    if settings is None and training is None:
        yield el.Text("There is no `run.json` of this run yet.")
        return
    if training is None:
        yield el.Text("Training has not finished: there is no `training.json` yet.")
    found = settings or {}
    rest = {part: found[part] for part in ("training", "data") if part in found}
    parts = {"Model": found.get("options"), "Training": rest | (training or {})}
    yield el.Columns(
        [
            [el.pairs(values, (name, "Value"), f"{name}: {len(values)} settings.")]
            for name, values in parts.items()
            if isinstance(values, dict) and values
        ]
    )
