"""This study beside another one or another version of it, dataset by dataset."""

from collections.abc import Iterator

from comvae.results.paths import results_folder
from comvae.results.quantities import QUANTITIES
from comvae.results.tables.attribution import BASELINE
from comvae.study.plan import study_folder
from dashboard import across, comparison, summary
from dashboard import elements as el
from dashboard.differences import RULE
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
    yield from _datasets(study, (split, metric))
    yield el.Heading("Beside another study")
    others = {
        label: where
        for label, where in find_shown(results_folder()).items()
        if study_folder(*where) != study.folder
    }
    if not others:
        yield el.Notice(
            "There is no other in results/studies or results/published. Plan another, "
            "or publish this one (`comvae publish`) and compare what is trained later."
        )
        return
    label = ask.one(el.Choice("Compare with", "with", list(others)))
    yield from _beside(study, load_study(*others[label]), label, (split, metric))


def _datasets(study: Study, view: tuple[str, str]) -> Iterator[el.Element]:
    """The differences to vanilla on every dataset beside each other."""
    columns = []
    for dataset in study.datasets:
        here = study.of("runs", dataset)
        names = study.in_order([] if here is None else here["model"])
        models = [m for m in names if m != BASELINE and m not in bounds_alone(study)]
        if BASELINE in names and models:
            order = [BASELINE, *models]
            rows = comparison.differences(here, study, (dataset, *view), order)
            found, than = rows.dropna(subset="effect"), f"vanilla on {dataset}"
            columns.append([*shown_differences(found, than, view[1])])
    if len(columns) > 1:
        yield el.Heading("Its datasets side by side")
        yield el.Columns(columns)


def _beside(
    study: Study, other: Study, label: str, view: tuple[str, str]
) -> Iterator[el.Element]:
    """The cells that both have, and in what their settings differ."""
    common = across.common(study, other)
    if not common:
        yield el.Notice(f"This study and {label} have no dataset and model in common.")
        return
    columns = []
    for dataset, models in common.items():
        rows = across.matched(study, other, (dataset, *view), models)
        than = f"{label} on {dataset}"
        columns.append([*shown_differences(rows, than, view[1])])
    yield el.Columns(columns)
    yield el.Caption(f"Paired where both have the same seeds. How sure is it: {RULE}")
    yield el.Heading("What differs in settings and code")
    for dataset, models in common.items():
        found = across.settings(study, other, dataset, models)
        says = f"{len(found)} differences to {label} on {dataset}."
        yield (
            el.Table(found, says) if len(found) else el.Text(f"On {dataset}: nothing.")
        )
