"""The first page: what the study is, how far it is, and what it found."""

from pathlib import Path

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import charts, components, data, findings, summary, theme
from dashboard.components import plain
from dashboard.differences import RULE
from dashboard.study import Study, bounds_alone, datasets_of, load_study


def page() -> None:
    """The whole page."""
    results = data.results_folder()
    study = load_study(results)
    st.title(plain(f"Study: {study.name}") if study.name else "The study")
    st.markdown(
        "Variational auto-encoders whose encoders have fixed, random, or dynamic "
        "weights, each trained across seeds. Do they explain unseen images better, and "
        "is it because they narrow the amortization gap?"
    )
    runs = components.opened(data.load_runs, results)
    table1 = components.opened(data.load_table1, results)
    components.notices(study.index.problems)
    if runs is None and table1 is None:
        components.no_table(results, study.index, "runs")
        return
    cells = _cells(results)
    dataset = _choose(datasets_of(runs, table1, cells))
    if dataset is None:
        components.no_table(results, study.index, "runs")
        return
    _progress(cells, study, dataset)
    _findings(results, study, runs, dataset)
    _chart(table1, cells, study, dataset)
    _claims(results, dataset)


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


def _progress(cells: pd.DataFrame | None, study: Study, dataset: str) -> None:
    here = None if cells is None else cells[cells["dataset"] == dataset]
    if here is None or here.empty:
        return
    done = (here["status"] == "finished").mean()
    text = f"{dataset}: {summary.progress(here)}"
    if "gap" in here and study.measures_gaps:
        measured, finished = here["gap"].eq("measured").sum(), here["gap"].notna().sum()
        text += f"; gaps measured in {measured} of {finished}"
    st.progress(float(done), text=plain(text))
    absent = summary.absent_runs(cells, study.titles, dataset)
    if len(absent):
        with st.expander("Which runs are not finished, and why"):
            components.text_table(
                absent, says=f"{len(absent)} runs on {dataset} are not finished."
            )


def _findings(
    results: Path, study: Study, runs: pd.DataFrame | None, dataset: str
) -> None:
    if runs is None:
        st.info("The findings need tables/runs.csv, which is not there or damaged.")
        return
    left_out = bounds_alone(study)
    found = findings.lead(runs, dataset, left_out)
    if found is None:
        st.info(plain(f"No model has a finished run on {dataset} yet."))
        return
    model = findings.candidate(found)
    attribution = components.opened(data.load_attribution, results)
    gaps = components.opened(data.load_gaps, results)
    cards = (
        (findings.best_model(study, runs, dataset, found), "table1", "Table 1"),
        (findings.against_vanilla(study, runs, dataset, model), "compare", "Compare"),
        (
            findings.amortization(study, attribution, gaps, dataset, model),
            "gaps",
            "Gaps",
        ),
    )
    for column, (finding, view, title) in zip(st.columns(3), cards, strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{plain(finding.question)}**")
            st.header(plain(finding.answer), anchor=False)
            st.markdown(plain(finding.because))
            query = {"dataset": dataset}
            if view == "compare" and model is not None:
                query["models"] = f"{findings.BASELINE},{model}"
            st.page_link(f"views/{view}.py", label=f"More: {title}", query_params=query)
    text = f"How sure is it: {RULE}"
    if left_out & set(runs["model"]):
        names = "; ".join(
            map(study.title, study.in_order(left_out & set(runs["model"])))
        )
        text += f" Not among the rivals, since no encoder gives their q(z|x): {names}."
    st.caption(plain(text))


def _chart(
    table1: pd.DataFrame | None,
    cells: pd.DataFrame | None,
    study: Study,
    dataset: str,
) -> None:
    if table1 is None or table1.empty:
        return
    view = summary.View(dataset, "test")
    titles = {model: study.title(model) for model in table1["model"]}
    rows = summary.metric_rows(table1, cells, titles, view, findings.METRIC)
    rows = rows[~rows["model"].isin(bounds_alone(study))].reset_index(drop=True)
    if rows["mean"].isna().all():
        return
    st.header("All models, on images that none has seen")
    message = summary.finding(rows, findings.METRIC)
    marks = theme.marks(rows["model"].tolist(), components.dark())
    components.show_chart(
        charts.intervals(rows, findings.METRIC, marks, components.chart_ink()),
        says=message,
    )
    caption = (
        "How to read it: a filled mark is the mean over seeds, the line its 95% "
        "interval. Lower is better. Overlapping intervals decide nothing, since seeds "
        "are paired: Compare shows the differences."
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    st.caption(caption)


def _claims(results: Path, dataset: str) -> None:
    claims = components.opened(data.load_claims, results)
    if claims is None:
        return
    verdicts = claims[claims["dataset"] == dataset].drop_duplicates("claim")["verdict"]
    if verdicts.empty:
        return
    counts = verdicts.value_counts()
    order = ["supported", "contradicted", "inconclusive", "not run"]
    words = ", ".join(f"{counts[name]} {name}" for name in order if name in counts)
    st.header("The paper's claims")
    st.markdown(plain(f"Of {len(verdicts)} claims on {dataset}: {words}."))
    st.page_link(
        "views/claims.py", label="More: Claims", query_params={"dataset": dataset}
    )


page()
