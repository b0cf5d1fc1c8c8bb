"""The gaps: how far each model's ELBO lies below log p(x), and why."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import components, data, decomposition
from dashboard.render import show
from dashboard.sections import gaps as sections
from dashboard.sections.blocks import Heading, TableFile
from dashboard.study import Study, datasets_of, load_study


def page() -> None:
    """The whole page."""
    st.title("Gaps")
    results = data.results_folder()
    show([sections.INTRO], results)
    study = load_study(results)
    gaps = components.opened(data.load_gaps, results)
    components.notices(study.index.problems)
    if not study.measures_gaps:
        show([sections.NONE_MEASURED], results)
        return
    if gaps is None or gaps.empty:
        components.no_table(results, study.index, "gaps")
        return
    dataset, split = _choices(gaps)
    here = gaps[(gaps["dataset"] == dataset) & (gaps["split"] == split)]
    measured = decomposition.measured(here, study)
    show(sections.absent(here, study, measured), results)
    if not measured:
        return
    models = components.choose_many(
        "Models",
        "shown",
        measured,
        sections.shown_first(study, measured),
        study.title,
    )
    if not models:
        st.info("Choose at least one model above.")
        return
    here = here[here["model"].isin(models)]
    _stack(here, study, dataset, results)
    _gains(results, study, (dataset, split), models)
    _spread(here, study, results)
    show([*sections.bounds(here, study), TableFile("gaps")], results)


def _choices(gaps: pd.DataFrame) -> tuple[str, str]:
    left, right = st.columns(2)
    with left:
        dataset = components.choose("Dataset", "dataset", datasets_of(gaps))
    splits = sections.splits_of(gaps, dataset)
    with right:
        split = components.choose(
            "Images", "split", splits, lambda s: sections.SPLITS.get(s, s)
        )
    return dataset, split


def _stack(here: pd.DataFrame, study: Study, dataset: str, results: Path) -> None:
    show([sections.stack_heading(dataset)], results)
    shown = components.choose("Show", "show", list(sections.SHOWN), sections.SHOWN.get)
    show(sections.stack(here, study, shown), results)


def _gains(
    results: Path, study: Study, view: tuple[str, str], models: list[str]
) -> None:
    attribution = components.opened(data.load_attribution, results)
    show(sections.gains(sections.of(attribution, view, models), study), results)


def _spread(here: pd.DataFrame, study: Study, results: Path) -> None:
    show([Heading("Image by image")], results)
    gap = components.choose(
        "Gap", "gap", list(decomposition.GAPS), decomposition.GAPS.get
    )
    show(sections.spread(here, study, gap), results)


page()
