"""One run on a page, as MLflow tells it: curves, numbers, artifacts, and code."""

import streamlit as st

from comvae.errors import ComvaeError
from dashboard import artifacts, components, tracking, training_curves
from dashboard.components import plain
from dashboard.forecast import duration
from dashboard.mlflow_store import Store
from dashboard.study import Study
from dashboard.theme import Mark
from dashboard.tracking import Opened


def show(store: Store, study: Study, run: Opened, mark: Mark) -> None:
    """The whole run."""
    _, model, seed = run.cell
    st.header(plain(f"{study.title(model)}, seed {seed}"))
    _status(run)
    _ways(store, study, run)
    training_curves.show(tracking.history(store, run.run_id), mark)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Metrics")
        _pairs(run.metrics, "Metric")
        st.caption("ELBO terms and gaps in nats per image; weight KL in nats.")
    with right:
        st.subheader("Settings")
        _pairs(run.params, "Setting")
    _artifacts(store, run)
    st.subheader("Code that fetches this run")
    st.code(artifacts.code(store, run), language="python")
    with st.expander("Tags"):
        _pairs(run.tags, "Tag")


def _status(run: Opened) -> None:
    dataset, model, seed = run.cell
    text = f"{dataset}, {model}, seed {seed}: "
    if run.status == "FINISHED":
        text += f"finished; training began {run.started:%Y-%m-%d %H:%M} UTC"
        if run.seconds is not None:
            text += f"; its block took {duration(run.seconds)}"
        st.caption(plain(f"{text}."))
    elif run.status == "FAILED":
        why = run.tags.get("comvae.failure", "MLflow does not say why")
        st.error(plain(f"{text}failed. {why}"))
    else:
        st.warning(
            plain(
                f"{text}its import has not ended, and some of it may be missing. If no "
                "import is running, `python -m comvae track` completes it."
            )
        )
    if "comvae.gaps" in run.tags:
        st.warning(plain(f"Without its gaps: {run.tags['comvae.gaps']}"))
    if "comvae.non_finite" in run.tags:
        absent = run.tags["comvae.non_finite"]
        st.caption(plain(f"MLflow holds no infinities, so it lacks {absent}."))


def _ways(store: Store, study: Study, run: Opened) -> None:
    """To MLflow's own pages, and to the run's files."""
    dataset, model, seed = run.cell
    with st.container(horizontal=True, vertical_alignment="center"):
        st.link_button(
            "Open in MLflow",
            artifacts.address(store, run),
            icon=":material/open_in_new:",
        )
        if any((r.dataset, r.model, str(r.seed)) == run.cell for r in study.index.runs):
            st.page_link(
                "views/run.py",
                label="Its pictures and all its evaluations",
                query_params={"dataset": dataset, "model": model, "seed": seed},
            )
    command = artifacts.ui_command(store)
    if command is not None:
        st.caption("MLflow's pages are there once this runs in a terminal:")
        st.code(command, language="bash")


def _pairs(values: dict, name: str) -> None:
    if not values:
        st.markdown("None.")
        return
    components.pairs_table(
        values, heads=(name, "Value"), says=f"{len(values)} rows: {name} and value."
    )


def _artifacts(store: Store, run: Opened) -> None:
    st.subheader("Artifacts")
    try:
        found = artifacts.listed(store, run)
    except ComvaeError as error:
        components.notices([str(error)])
        return
    if not found:
        st.markdown(
            "There are none. If they were deleted, `python -m comvae track` uploads "
            "them again."
        )
        return
    with st.container(horizontal=True):
        for artifact in found:
            components.download_file(
                f"{artifact.path} ({_size(artifact.size)})",
                artifact.path.rsplit("/", 1)[-1],
                lambda artifact=artifact: artifacts.load(store, run, artifact),
                key=artifact.path,
            )


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 0.1):.1f} kB"
