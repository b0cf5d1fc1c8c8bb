"""The first page: what the study is, how far it is, and what it found."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import components, data, forecast, progress, summary
from dashboard.components import plain
from dashboard.progress import Progress
from dashboard.render import show
from dashboard.sections import overview as sections
from dashboard.study import Study, datasets_of, load_study
from dashboard.trails import load_trail


def page() -> None:
    """The whole page."""
    results = data.results_folder()
    study = load_study(results)
    st.title(plain(f"Study: {study.name}") if study.name else "The study")
    show([sections.INTRO], results)
    runs = components.opened(data.load_runs, results)
    table1 = components.opened(data.load_table1, results)
    components.notices(study.index.problems)
    cells, now = _cells(results), progress.load_progress(results)
    dataset = _choose(datasets_of(runs, table1, cells))
    _progress(now, runs, cells, study, dataset)
    if dataset is None or (runs is None and table1 is None):
        components.no_table(results, study.index, "runs")
        return
    _findings(results, study, runs, dataset)
    show(sections.chart(table1, cells, study, dataset), results)
    claims = components.opened(data.load_claims, results)
    show(sections.claims(claims, dataset), results)


def _cells(results: Path) -> pd.DataFrame | None:
    try:
        return data.load_cells(results)
    except ResultsError:
        return None  # the index has noted why


def _choose(datasets: list[str]) -> str | None:
    if not datasets:
        return None
    if len(datasets) == 1:
        return datasets[0]
    return components.choose("Dataset", "dataset", datasets)


def _progress(
    now: Progress,
    runs: pd.DataFrame | None,
    cells: pd.DataFrame | None,
    study: Study,
    dataset: str | None,
) -> None:
    here = now if dataset is None else now.on(dataset)
    counts = here.counts()
    if not counts:
        return
    finished = counts.get("finished", 0)
    text = progress.in_words(counts)
    if dataset is not None:
        text = f"{dataset}: {text}"
    if study.measures_gaps and finished:
        measured = sum(seen.measured for seen in here.seen)
        text += f"; gaps measured in {measured} of {finished}"
    st.progress(finished / sum(counts.values()), text=plain(text))
    _outlook(now, runs)
    absent = pd.DataFrame()
    if cells is not None and dataset is not None:
        absent = summary.absent_runs(cells, study.titles, dataset)
    if len(absent):
        with st.expander("Which runs are not finished, and why"):
            components.text_table(
                absent, says=f"{len(absent)} runs on {dataset} are not finished."
            )


def _outlook(now: Progress, runs: pd.DataFrame | None) -> None:
    """The time left of the whole study, and the way to what trains now."""
    left = {}
    for seen in now.with_status("running"):
        with suppress(ResultsError):  # the page Live says so
            trail = load_trail(seen)
            left[str(seen.block.folder)] = trail and trail.seconds_left
    outlook = forecast.forecast(now, left, runs)
    text = forecast.in_words(outlook)
    if text:
        st.caption(plain(text))
        st.page_link("views/live.py", label="More: Live")


def _findings(
    results: Path, study: Study, runs: pd.DataFrame | None, dataset: str
) -> None:
    if runs is None:
        show([sections.NO_RUNS], results)
        return
    attribution = components.opened(data.load_attribution, results)
    gaps = components.opened(data.load_gaps, results)
    show(sections.answers(study, runs, attribution, gaps, dataset), results)


page()
