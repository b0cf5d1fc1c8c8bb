"""Provenance: what the results were made from, with what, and how; and all tables."""

from pathlib import Path

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import components, data, provenance, rulegraph
from dashboard.components import plain
from dashboard.study import Study, load_study


def page() -> None:
    """The whole page."""
    st.title("Provenance")
    results = data.results_folder()
    study = load_study(results)
    st.markdown(
        "What the results are made from: data, code, libraries, machines and settings; "
        "and every table as it lies on disk."
    )
    components.notices(study.index.problems)
    if not study.index.runs and not provenance.files(results):
        components.nothing_yet(results)
        return
    _files(results)
    _trained(results, study)
    _settings(results, study)
    _datasets(results)
    _rules(study)


def _files(results: Path) -> None:
    st.header("Tables and reports")
    found = provenance.files(results)
    if not found:
        st.markdown("None is written yet: `make study` writes them at its end.")
        return
    with st.container(horizontal=True):
        for path in found:
            name = path.relative_to(results)
            single = name.parts[0] in ("tables", "report") or len(name.parts) == 1
            label = name.name if single else f"{name.parent.name}, {name.name}"
            file = name.name if single else f"{name.parent.name}-{name.name}"
            components.download_file(label, file, path.read_bytes, str(name))
    st.caption(
        "Each file as it lies in the folder of results, byte for byte; the README "
        "there says what its columns are. Gaps image by image lie beside each block "
        "as gaps.parquet, and among the artifacts of each run in MLflow."
    )


def _trained(results: Path, study: Study) -> None:
    st.header("Code, libraries, machines")
    blocks, problems = provenance.load_blocks(results)
    components.notices([p for p in problems if p not in study.index.problems])
    if blocks.empty:
        st.markdown("No block is trained yet.")
        return
    found = provenance.differences(blocks)
    components.notices(found)
    if not found:
        st.markdown(
            "All blocks were trained with the same code, libraries and settings."
        )
    components.pairs_table(
        provenance.recorded(blocks),
        heads=("What", f"Of {len(blocks)} blocks"),
        says=f"Code, libraries and machines of {len(blocks)} blocks.",
    )
    with st.expander("Block by block"):
        _blocks(blocks, study)


def _blocks(blocks: pd.DataFrame, study: Study) -> None:
    table = blocks.assign(model=[study.title(model) for model in blocks["model"]])
    columns = {
        name: name.removeprefix("version.").replace("_", " ") for name in table.columns
    }
    columns |= {"seconds": "training, s", "finished": "finished, UTC"}
    config: dict = {columns[name]: name.capitalize() for name in provenance.PLACE}
    config["training, s"] = st.column_config.NumberColumn(format="%.1f")
    config["finished, UTC"] = st.column_config.DatetimeColumn(
        format="YYYY-MM-DD HH:mm:ss"
    )
    st.dataframe(
        table.rename(columns=columns),
        hide_index=True,
        column_config=config,
        alt=f"What each of {len(blocks)} blocks was trained with.",
    )
    st.caption("A click on a head sorts the blocks.")


def _settings(results: Path, study: Study) -> None:
    st.header("The study, resolved")
    try:
        plan = provenance.load_plan(results)
    except ResultsError:
        plan = {}  # the study has noted why
    shared, differing, _ = provenance.load_settings(results)  # noted by the index
    differing = differing[study.in_order(differing.columns)]
    left, right = st.columns(2, gap="large")
    with left:
        if plan:
            components.pairs_table(
                plan, heads=("Study", "Value"), says="What study.json says."
            )
        else:
            st.markdown("There is no `study.json` that can be read.")
    with right:
        if shared:
            components.pairs_table(
                shared,
                heads=("Setting of all models", "Value"),
                says=f"{len(shared)} settings that all models share.",
            )
    if len(differing):
        st.subheader("Where the models differ")
        shown = differing.rename(columns=study.title).rename_axis("Setting")
        st.dataframe(
            shown, alt=f"{len(shown)} settings in which {shown.shape[1]} models differ."
        )
        st.caption("What the settings mean: docs/settings.md and docs/paper.md.")


def _datasets(results: Path) -> None:
    st.header("Datasets")
    found, problems = provenance.load_datasets(results)
    components.notices(problems)
    if not found and not problems:
        st.markdown("None is fetched yet.")
    for dataset in found:
        st.subheader(plain(dataset.name))
        left, right = st.columns(2, gap="large")
        with left:
            components.pairs_table(
                dataset.facts,
                heads=("Dataset", "Value"),
                says=f"Size and changes of {dataset.name}.",
            )
        with right:
            components.pairs_table(
                dataset.sources,
                heads=("Part", "Source"),
                says=f"Sources of {dataset.name}.",
            )
        if dataset.published:
            st.markdown("SHA-256 of the publisher's files:")
            _checksums(dataset.published)
        st.markdown("SHA-256 of the arrays that were read from them, of their bytes:")
        _checksums(dataset.arrays)


def _checksums(rows: list[tuple[str, str]]) -> None:
    st.code("\n".join(f"{found}  {name}" for found, name in rows), language=None)


def _rules(study: Study) -> None:
    st.header("Rules")
    without = () if study.measures_gaps else rulegraph.OF_GAPS
    says = (
        "Data and settings lead to training, training to evaluation and gaps, and both "
        "to the tables, to MLflow and to the report."
    )
    st.markdown(says)
    st.graphviz_chart(rulegraph.dot(components.chart_ink(), without), alt=says)
    st.caption(
        "How to read it: each box is a rule of the Snakemake workflow, with what it "
        "writes; an arrow leads to what reads that. Arrows that others imply are left "
        "out. The rules train, evaluate and gap run once for each block."
    )


page()
