"""Table 1: ours beside the paper's, per dataset and split."""

from pathlib import Path

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import components, data, runs, summary
from dashboard.render import show
from dashboard.sections import table1 as sections
from dashboard.sections.blocks import TableFile


def page() -> None:
    """The whole page."""
    st.title("Table 1")
    results = data.results_folder()
    show([sections.INTRO], results)
    try:
        table1 = data.load_table1(results)
    except ResultsError as error:
        components.notices([str(error)])
        return
    index = runs.load_index(results)
    if table1 is None or table1.empty:
        components.notices(index.problems)
        components.no_table(results, index, "table1")
        return
    try:
        cells = data.load_cells(results)
    except ResultsError:
        cells = None  # the index has noted why
    components.notices(index.problems)

    view, metric = _choices(table1)
    models = summary.models_in_order(table1, cells)
    rows = summary.metric_rows(table1, cells, index.titles, view, metric)
    _progress(cells, index.titles, view.dataset, results)
    show(sections.chart(rows, view, metric, models), results)
    show(sections.table(table1, cells, index.titles, view), results)
    show([TableFile("table1")], results)


def _choices(table1: pd.DataFrame) -> tuple[summary.View, str]:
    left, middle, right = st.columns(3)
    with left:
        dataset = components.choose(
            "Dataset", "dataset", table1["dataset"].unique().tolist()
        )
    splits = sections.splits_of(table1, dataset)
    with middle:
        split = components.choose(
            "Split", "split", splits, lambda s: summary.SPLITS.get(s, s)
        )
    with right:
        metric = components.choose(
            "Term in the chart", "metric", list(summary.METRICS), summary.METRICS.get
        )
    return summary.View(dataset, split), metric


def _progress(
    cells: pd.DataFrame | None, titles: dict[str, str], dataset: str, results: Path
) -> None:
    text, absent = sections.progress(cells, titles, dataset)
    if text is not None:
        show([text], results)
    if absent is not None:
        with st.expander("Which runs are not finished, and why"):
            show([absent], results)


page()
