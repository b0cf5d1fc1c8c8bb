"""Two or more models beside each other: curves, paired differences, images."""

from pathlib import Path

import streamlit as st

from dashboard import charts, comparison, components, data, decomposition
from dashboard.render import show
from dashboard.runs import Run
from dashboard.sections import compare as sections
from dashboard.sections.blocks import Heading
from dashboard.study import Study, load_study

SCATTERS = 3  # beside each other; more would not be looked at


def page() -> None:
    """The whole page."""
    st.title("Compare")
    results = data.results_folder()
    study = load_study(results)
    components.notices(study.index.problems)
    if not study.index.runs:
        st.markdown("Two or more models beside each other.")
        components.nothing_yet(results)
        return
    dataset, models = _choices(study)
    if len(models) < 2:
        st.info("Choose at least two models above.")
        return
    here = [run for run in study.index.runs if run.dataset == dataset]
    chosen = [run for run in here if run.model in models]
    _curves(results, chosen, study, models)
    split = _differences(results, study, dataset, models)
    _images(results, chosen, study, models, split)


def _choices(study: Study) -> tuple[str, list[str]]:
    left, right = st.columns([1, 3])
    index = study.index
    with left:
        names = list(dict.fromkeys(run.dataset for run in index.runs))
        dataset = components.choose("Dataset", "dataset", names)
    here = study.in_order(run.model for run in index.runs if run.dataset == dataset)
    with right:
        models = components.choose_many(
            "Models, the first is what the others are compared with",
            "models",
            here,
            here[:3],
            study.title,
        )
    return dataset, models


def _curves(results: Path, chosen: list[Run], study: Study, models: list[str]) -> None:
    show([Heading("Training")], results)
    term = components.choose(
        "Term", "term", list(charts.TERM_TITLES), charts.TERM_TITLES.get
    )
    show(sections.curves(chosen, study, models, term), results)


def _differences(results: Path, study: Study, dataset: str, models: list[str]) -> str:
    show([Heading("Differences, seed by seed")], results)
    left, right = st.columns(2)
    with left:
        split = components.choose(
            "Split", "split", list(sections.SPLITS), sections.SPLITS.get
        )
    with right:
        metric = components.choose(
            "Quantity", "metric", list(comparison.METRICS), comparison.METRICS.get
        )
    table = components.opened(data.load_runs, results)
    if table is None:
        st.info("Differences need tables/runs.csv, which is not there or damaged.")
        return split
    view = (dataset, split, metric)
    show(sections.differences(table, study, view, models), results)
    show([sections.HOW_SURE], results)
    return split


def _images(
    results: Path, chosen: list[Run], study: Study, models: list[str], split: str
) -> None:
    show([Heading("Image by image")], results)
    gap = components.choose(
        "Gap", "gap", list(decomposition.GAPS), decomposition.GAPS.get
    )
    show(sections.images(chosen, study, models, split, gap, at_most=SCATTERS), results)


page()
