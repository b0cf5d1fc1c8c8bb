"""This study beside another one or another version of it, dataset by dataset."""

from collections.abc import Iterator

from comvae.results.paths import results_folder
from comvae.results.quantities import QUANTITIES
from comvae.results.tables.attribution import BASELINE
from comvae.study.plan import study_folder
from dashboard import elements as el
from dashboard import summary
from dashboard.across import common, matched, settings
from dashboard.differences import RULE, to_first
from dashboard.pages.compare import shown_differences
from dashboard.study import Study, bounds_alone, find_shown, load_study


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    runs = study.table("runs")
    if runs is None:
        yield from study.lacking("runs")
        return
    yield el.Text(
        "Models of this study beside the same models of another study, or of another "
        "version of it: paired by seed where both have it."
    )
    split = ask.one(summary.split_choice(runs))
    known = summary.measured_in(runs[runs["split"] == split])
    metrics = [name for name in known if QUANTITIES[name].source != "training"]
    metrics = metrics or [summary.METRIC]
    metric = ask.one(el.Choice("Quantity", "metric", metrics, summary.title_of))
    yield from _datasets(study, split, metric)
    yield el.Heading("Beside another study")
    others = comparable(study)
    if not others:
        yield el.Notice(
            "No other study in results/studies or results/published has a dataset and "
            "a model of this one. Plan another, or publish this one (`comvae publish`) "
            "and compare what is trained later."
        )
        return
    for label in ask.each(el.Choice("Compare with", "with", list(others))):
        yield from _beside(study, others[label], label, split, metric)
    yield el.Caption(f"Paired where both have the same seeds. How sure is it: {RULE}")


def comparable(study: Study) -> dict[str, Study]:
    """The other studies with a dataset and a model of this one, by their labels."""
    root = results_folder()
    if not study.results.resolve().is_relative_to(root.resolve()):
        root = study.results
    others = {
        label: load_study(*where)
        for label, where in find_shown(root).items()
        if study_folder(*where) != study.folder
    }
    return {label: other for label, other in others.items() if common(study, other)}


def side_by_side(study: Study) -> bool:
    """Whether there is something to set side by side: datasets, or another study."""
    return len(study.datasets) > 1 or bool(comparable(study))


def _datasets(study: Study, split: str, metric: str) -> Iterator[el.Element]:
    """The differences to vanilla on every dataset beside each other."""
    columns = []
    for dataset in study.datasets:
        here = study.of("runs", dataset)
        names = study.in_order([] if here is None else here["model"])
        models = [m for m in names if m != BASELINE and m not in bounds_alone(study)]
        if BASELINE in names and models:
            order = [BASELINE, *models]
            rows = to_first(here, study, (dataset, split, metric), order)
            found, than = rows.dropna(subset="effect"), f"vanilla on {dataset}"
            columns.append([*shown_differences(found, than, metric)])
    if len(columns) > 1:
        yield el.Heading("Its datasets side by side")
        yield el.Columns(columns)


def _beside(
    study: Study, other: Study, label: str, split: str, metric: str
) -> Iterator[el.Element]:
    """The cells that both have, and in what their settings differ."""
    columns, differing = [], []
    for dataset, models in common(study, other).items():
        rows = matched(study, other, (dataset, split, metric), models)
        than = f"{label} on {dataset}"
        columns.append([*shown_differences(rows, than, metric)])
        found = settings(study, other, dataset, models)
        says = f"{len(found)} differences to {label} on {dataset}."
        nothing = el.Text(f"On {dataset}: nothing.")
        differing.append(el.Table(found, says) if len(found) else nothing)
    yield el.Columns(columns)
    yield el.Subheading("What differs in settings and code")
    yield from differing
