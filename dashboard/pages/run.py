"""One run in detail: its settings, results, training curves and pictures."""

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import (
    charts,
    components,
    data,
    pictures,
    runs,
    summary,
    theme,
    training_curves,
)
from dashboard.components import plain

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


def page() -> None:
    """The whole page."""
    st.title("Run")
    results = data.results_folder()
    index = runs.load_index(results)
    components.notices(index.problems)
    if not index.runs:
        st.markdown("One run in detail: settings, results, curves and pictures.")
        components.nothing_yet(results)
        return
    run = _choose(index)
    st.header(plain(index.title(run.model)))
    _status(run)
    st.page_link(
        "views/runs.py",
        label="In MLflow: artifacts, and code that fetches it",
        query_params={"run": f"{run.model}-{run.dataset}-seed-{run.seed}"},
    )
    curves, numbers = st.container(), st.container()
    history = _loaded(runs.load_history, run)
    with numbers:
        _metrics(run, history)
    with curves:
        models = _distinct(run.model for run in index.runs)
        mark = theme.marks(models, components.dark())[run.model]
        training_curves.show(history, mark)
    _pictures(run, index)
    _settings(run)


def _choose(index: runs.Index) -> runs.Run:
    left, middle, right = st.columns([1, 2, 1])
    with left:
        dataset = components.choose(
            "Dataset", "dataset", _distinct(run.dataset for run in index.runs)
        )
    here = [run for run in index.runs if run.dataset == dataset]
    with middle:
        model = components.choose(
            "Model", "model", _distinct(run.model for run in here), index.title
        )
    here = [run for run in here if run.model == model]
    with right:
        seed = components.choose("Seed", "seed", [run.seed for run in here])
    return next(run for run in here if run.seed == seed)


def _distinct(names) -> list[str]:
    return list(dict.fromkeys(names))


def _status(run: runs.Run) -> None:
    status = runs.STATUSES.get(run.status, run.status or "unknown")
    text = f"{run.dataset}, {run.model}, seed {run.seed}: {status}"
    if run.detail:
        text += f". {run.detail}"
    if run.status == "failed":
        st.error(plain(text))
    elif run.status in ("finished", "evaluated"):
        st.caption(plain(text))
    else:
        st.warning(plain(text))


def _loaded(load, run: runs.Run):
    """What `load` gives for the run; a damaged file becomes a notice and None."""
    try:
        return load(run)
    except ResultsError as error:
        components.notices([str(error)])
        return None


def _metrics(run: runs.Run, history: pd.DataFrame | None) -> None:
    st.subheader("Results")
    metrics = _loaded(runs.load_metrics, run)
    table = results_table(metrics, history)
    if metrics is None:
        failed = run.status == "failed"
        text = "A failed run is not evaluated." if failed else "Not evaluated yet."
        if not table.empty:
            text += " This is its last epoch of training."
        st.markdown(text)
    if table.empty:
        return
    components.text_table(
        table, says=f"ELBO terms of this run in {len(table)} ways of evaluating it."
    )
    st.caption(
        "Reconstruction, latent KL and negative ELBO in nats per image; the weight KL "
        "in nats for one network."
    )


def results_table(
    metrics: pd.DataFrame | None, history: pd.DataFrame | None
) -> pd.DataFrame:
    """The run's final terms as text: test, train, and the last epoch while training."""
    rows = []
    if metrics is not None:
        splits, modes = list(summary.SPLITS), list(MODES)
        for row in sorted(
            metrics.to_dict("records"),
            key=lambda row: (_place(row["split"], splits), _place(row["mode"], modes)),
        ):
            split = summary.SPLITS.get(row["split"], row["split"])
            how = MODES.get(row["mode"], row["mode"])
            rows.append({"Split": split, "How": how} | _terms(row))
    if history is not None:
        last = history.sort_values("epoch").iloc[-1].to_dict()
        how = f"running average of epoch {last['epoch']:.0f}"
        rows.append({"Split": "Train", "How": how} | _terms(last))
    return pd.DataFrame(rows)


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _terms(row: dict) -> dict[str, str]:
    return {
        name: summary.number(row[term]) for term, name in charts.TERM_TITLES.items()
    }


def _pictures(run: runs.Run, index: runs.Index) -> None:
    st.subheader("Pictures")
    found = {
        kind: _loaded(lambda run, k=kind: _picture(run, k), run) for kind in PICTURES
    }
    found = {kind: png for kind, png in found.items() if png is not None}
    if not found:
        st.markdown("There are no pictures of this run.")
        return
    for column, (kind, png) in zip(
        st.columns(2, gap="large"), found.items(), strict=False
    ):
        caption = PICTURES[kind]
        says = f"{caption} {index.title(run.model)}, seed {run.seed}."
        column.image(png, caption=caption, width="stretch", alt=says)


def _picture(run: runs.Run, kind: str) -> bytes | None:
    png = runs.load_picture(run, kind)
    if png is None:
        return None
    return pictures.enlarged(
        png, f"{run.evaluation}/pictures/seed-{run.seed}-{kind}.png"
    )


def _settings(run: runs.Run) -> None:
    st.subheader("Settings and provenance")
    try:
        settings = runs.load_settings(run)
    except ResultsError:
        settings = None  # the index has noted why
    provenance = _loaded(runs.load_provenance, run)
    if settings is None and provenance is None:
        st.markdown("There is no `run.json` of this run yet.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        if settings is not None:
            _pairs("Model", settings.get("options"))
    with right:
        if settings is not None:
            _pairs("Training", settings.get("training"))
            _pairs("Data", settings.get("data"))
        if provenance is not None:
            _pairs("Provenance", provenance)
        else:
            st.markdown("Training has not finished: there is no `training.json` yet.")


def _pairs(name: str, values: object) -> None:
    if isinstance(values, dict) and values:
        components.pairs_table(
            values, heads=(name, "Value"), says=f"{name}: {len(values)} settings."
        )


page()
