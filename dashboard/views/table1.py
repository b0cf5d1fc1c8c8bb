"""Table 1: ours beside the paper's, per dataset and split."""

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import charts, components, data, runs, summary, theme
from dashboard.components import plain


def page() -> None:
    """The whole page."""
    st.title("Table 1")
    st.markdown(
        "Every model of the paper's Table 1, retrained across seeds: the mean with its "
        "95% interval over seeds, beside the paper's single value."
    )
    results = data.results_folder()
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
    _progress(cells, index.titles, view.dataset)
    _chart(rows, view, metric, models)
    _table(table1, cells, index.titles, view)
    components.download(results, "table1")


def _choices(table1: pd.DataFrame) -> tuple[summary.View, str]:
    left, middle, right = st.columns(3)
    with left:
        dataset = components.choose(
            "Dataset", "dataset", table1["dataset"].unique().tolist()
        )
    known = table1.loc[table1["dataset"] == dataset, "split"].unique().tolist()
    ordered = [s for s in summary.SPLITS if s in known]
    ordered += [s for s in known if s not in summary.SPLITS]
    with middle:
        split = components.choose(
            "Split", "split", ordered, lambda s: summary.SPLITS.get(s, s)
        )
    with right:
        metric = components.choose(
            "Term in the chart", "metric", list(summary.METRICS), summary.METRICS.get
        )
    return summary.View(dataset, split), metric


def _progress(cells: pd.DataFrame | None, titles: dict[str, str], dataset: str) -> None:
    if cells is None:
        return
    here = cells[cells["dataset"] == dataset]
    if here.empty:
        return
    text = plain(f"On {dataset}: {summary.progress(here)}.")
    absent = summary.absent_runs(cells, titles, dataset)
    if absent.empty:
        st.caption(text)
        return
    st.warning(text)
    with st.expander("Which runs are not finished, and why"):
        components.text_table(
            absent, says=f"{len(absent)} runs on {dataset} are not finished."
        )


def _chart(
    rows: pd.DataFrame, view: summary.View, metric: str, models: list[str]
) -> None:
    name, split = summary.METRICS[metric], summary.SPLITS.get(view.split, view.split)
    st.header(plain(f"{name} on {view.dataset}, {split.lower()}"))
    message = summary.finding(rows, metric)
    st.markdown(plain(message))
    if rows[["mean", "paper"]].isna().all(axis=None):
        return
    marks = theme.marks(models, components.dark())
    chart = charts.intervals(rows, metric, marks, components.chart_ink())
    components.show_chart(chart, says=message)
    caption = (
        "How to read it: a filled mark is the mean over our seeds, the line through it "
        "the 95% interval of that mean (Student's t over seeds)."
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    else:
        caption += f" The paper has no value for {plain(view.dataset)} and this split."
    st.caption(f"{caption} {summary.SPLIT_NOTES.get(view.split, '')}")


def _table(
    table1: pd.DataFrame,
    cells: pd.DataFrame | None,
    titles: dict[str, str],
    view: summary.View,
) -> None:
    st.header("All three terms")
    table = summary.display_table(table1, cells, titles, view)
    components.text_table(
        table,
        says=f"Reconstruction, latent KL and their sum for {len(table)} models on "
        f"{view.dataset}, {view.split}.",
    )
    text = (
        "Nats per image: mean ± half the width of the 95% interval over seeds. The "
        "negative ELBO is reconstruction + latent KL, without the KL of the weights, "
        "which is a regulariser: the sum still bounds \N{MINUS SIGN}log p(x)."
    )
    if table.columns.nlevels == 2:
        text += " Difference: ours minus the paper's."
    st.caption(text)


page()
