"""Runs: search MLflow, open a run, and take the code that fetches it."""

from pathlib import Path

import pandas as pd
import streamlit as st

from comvae.errors import ComvaeError
from dashboard import components, data, mlflow_run, theme, tracking
from dashboard.components import plain
from dashboard.mlflow_store import Store, find_store
from dashboard.study import Study, load_study
from dashboard.tracking import Found, Query

ANY = "any"
STATUSES = {ANY: "Any", "FINISHED": "Finished", "FAILED": "Failed"}
FIRST = "test_negative_elbo"
ALWAYS = (FIRST, "train_negative_elbo", "test_amortization_gap", "train_seconds")


def page() -> None:
    """The whole page."""
    st.title("Runs")
    results = data.results_folder()
    study = load_study(results)
    components.notices(study.index.problems)
    try:
        store = find_store(results)
        names = _datasets(store, study)
    except ComvaeError as error:
        _without_store(results, study, error)
        return
    st.markdown(
        "One run is one dataset, model and seed. Search those that MLflow knows, and "
        "choose one in the table to open it."
    )
    if not names:
        st.info("MLflow knows no run yet: `python -m comvae track` imports them.")
        return
    try:
        _search(store, study, names)
        _opened(store, study)
    except ComvaeError as error:
        components.notices([str(error)])
        _files(study)


def _without_store(results: Path, study: Study, error: ComvaeError) -> None:
    if not study.index.runs:
        st.markdown("Search the runs of the study, and open one.")
        components.nothing_yet(results)
        return
    components.notices([str(error)])
    _files(study)


def _files(study: Study) -> None:
    """The way to the runs where MLflow does not help."""
    if study.index.runs:
        st.markdown("The files of every run can be looked at without MLflow:")
        st.page_link("views/run.py", label="One run, from its files")


def _datasets(store: Store, study: Study) -> list[str]:
    """The experiments, those of the study first; MLflow's own empty one left out."""
    with st.spinner("Opening MLflow …"):
        known = tracking.experiments(store)
    ours = dict.fromkeys(run.dataset for run in study.index.runs)
    first = [name for name in ours if name in known]
    others = sorted(set(known) - set(first) - {"Default"})
    return first + others


def _search(store: Store, study: Study, names: list[str]) -> None:
    """What to find, and the runs that are found."""
    with st.container(border=True):
        query = _query(store, study, names)
    if query is None:
        return
    part = _part(query)
    with st.spinner("Searching …"):
        found = tracking.search(store, query, part)
    if found.runs.empty:
        text = "No run is like that." if part == 1 else f"There is no part {part}."
        st.info(f"{text} Leave something out above.")
        return
    first = 1 + tracking.PART * (part - 1)
    text = f"Runs {first} to {first + len(found.runs) - 1}"
    text += ", and there are more." if found.more else ": all that were found."
    st.markdown(text)
    _table(found, study, query, part)
    st.caption(
        "Choose a row to open the run below; a click on a head sorts these rows. ELBO "
        "terms and gaps in nats per image, lower is better; times of training in UTC."
    )
    if found.more or part > 1:
        most = part + found.more
        st.number_input("Part", 1, most, key="part", bind="query-params", width=160)


def _query(store: Store, study: Study, names: list[str]) -> Query | None:
    """What the reader asks for; None where it is nonsense."""
    above, below = st.columns(4), st.columns(4)
    with above[0]:
        dataset = components.choose("Dataset", "dataset", names)
    with st.spinner("Searching …"):
        newest = tracking.search(store, Query(dataset))
    here = [run for run in study.index.runs if run.dataset == dataset]
    models = study.in_order([*(run.model for run in here), *newest.runs["model"]])
    seeds = {str(run.seed) for run in here} | set(newest.runs["seed"])
    metrics = sorted(newest.metrics, key=lambda name: (name != FIRST, name)) or [FIRST]
    with above[1]:
        model = components.choose(
            "Model",
            "of",
            [ANY, *models],
            lambda name: "Any" if name == ANY else study.title(name),
        )
    with above[2]:
        ordered = sorted(seeds, key=lambda seed: (len(seed), seed))
        seed = components.choose(
            "Seed", "with", [ANY, *ordered], lambda name: name.capitalize()
        )
    with above[3]:
        status = components.choose("Status", "status", list(STATUSES), STATUSES.get)
    with below[0]:
        metric = components.choose("Metric", "measure", metrics)
    with below[1]:
        low = _bound("From", "from")
    with below[2]:
        high = _bound("To", "to")
    with below[3]:
        order = components.choose(
            "Order, by the metric", "order", list(tracking.ORDERS), tracking.ORDERS.get
        )
    if low is not None and high is not None and low > high:
        st.error(
            plain(
                f"{metric}: no value is at least {low:g} and at most {high:g}. "
                "Exchange From and To, or empty one of them."
            )
        )
        return None
    chosen = [("" if name == ANY else name) for name in (model, seed, status)]
    return Query(dataset, *chosen, metric, low, high, order)


def _bound(label: str, key: str) -> float | None:
    return st.number_input(
        label,
        value=None,
        format="%g",
        step=0.1,
        placeholder="any value",
        key=key,
        bind="query-params",
    )


def _part(query: Query) -> int:
    """Which part of the runs is shown: the first again when the search changes."""
    state = st.session_state
    if state.get("last-query", query) != query:
        state["part"] = 1
    state["last-query"] = query
    wanted = state.get("part", st.query_params.get("part", "1"))
    return int(wanted) if str(wanted).isdecimal() and int(wanted) > 0 else 1


def _table(found: Found, study: Study, query: Query, part: int) -> None:
    """The runs; choosing one puts it into the address as `?run=name`."""
    state, url = st.session_state, st.query_params.get("run")
    names = found.runs["name"].tolist()
    if url != state.get("run-shown", url):
        # the browser's Back or a link: a new table, which begins with that run
        state["table"] = state.get("table", 0) + 1
    default = {"selection": {"rows": [names.index(url)] if url in names else []}}
    event = st.dataframe(
        _shown(found, study, query),
        hide_index=True,
        column_config=_columns(found),
        on_select="rerun",
        selection_mode="single-row",
        selection_default=default,
        key=f"runs-{state.get('table', 0)}-{part}-{hash(query)}",
        alt=f"{len(found.runs)} runs on {query.dataset} with their metrics.",
    )
    chosen = [names[row] for row in event.selection.rows if row < len(names)]
    if chosen:
        st.query_params["run"] = chosen[0]
    elif url in names:
        st.query_params.pop("run", None)
    state["run-shown"] = st.query_params.get("run")


def _shown(found: Found, study: Study, query: Query) -> pd.DataFrame:
    metrics = dict.fromkeys((query.metric, *ALWAYS))
    kept = [name for name in metrics if name in found.metrics]
    table = found.runs[["model", "seed", "status", *kept, "started"]]
    return table.assign(
        model=[study.title(model) for model in table["model"]],
        seed=pd.to_numeric(table["seed"], errors="coerce"),
        status=table["status"].str.lower(),
    )


def _columns(found: Found) -> dict:
    number = {
        name: st.column_config.NumberColumn(name, format="%.3f")
        for name in found.metrics
    }
    return number | {
        "model": st.column_config.TextColumn("Model", width=270),
        "seed": st.column_config.NumberColumn("Seed", format="%d"),
        "status": st.column_config.TextColumn("Status"),
        "started": st.column_config.DatetimeColumn(
            "Started", format="YYYY-MM-DD HH:mm"
        ),
    }


def _opened(store: Store, study: Study) -> None:
    name = st.query_params.get("run")
    if name is None:
        return
    run = tracking.open_run(store, name)
    if run is None:
        st.warning(
            plain(
                f"MLflow knows no run {name}. Its block may have been deleted or "
                "renamed; choose another one above."
            )
        )
        return
    models = [each.model for each in study.index.runs]
    mark = theme.marks([*models, run.cell[1]], components.dark())[run.cell[1]]
    mlflow_run.show(store, study, run, mark)


page()
