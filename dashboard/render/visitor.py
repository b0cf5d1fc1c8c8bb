"""Pieces of pages: choices kept in the URL, notices, tables of text."""

import mimetypes
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import altair as alt
import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import data
from dashboard.runs import Index
from dashboard.theme import Ink, ink
from dashboard.values import flat, shown

T = TypeVar("T")


def plain(text: object) -> str:
    """`text` with every character that Markdown could read as markup escaped.

    Streamlit renders captions, tables and messages as Markdown; names and messages
    that come from files must show as they are.
    """
    flat = re.sub(r"[ \t\r\n\f\v]+", " ", str(text))  # but keep non-breaking spaces
    # an address would become a link even with escapes: an invisible joiner prevents it
    flat = re.sub(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", "\N{WORD JOINER}", flat)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", flat)


def choose(
    label: str,
    key: str,
    options: Sequence[T],
    name: Callable[[T], str] = str,
) -> T:
    """One of `options`: what the URL says, else the last choice, else the first.

    The choice is kept in the URL as `?key=option`. A first choice that nobody made is
    not written there, since every write is one more step for the browser's Back.
    """
    by_text = {str(option): option for option in options}
    state, url = st.session_state, st.query_params.get(key)
    wanted = by_text.get(url or state.get(f"last-{key}", ""), options[0])
    index = options.index(wanted)
    if url != state.get(f"url-{key}", url):
        # the browser's Back or Forward: the URL has moved, the widget has not
        state[key], index = by_text.get(url or "", options[0]), 0
    chosen = st.selectbox(label, options, index=index, format_func=name, key=key)
    if url is not None or chosen != options[0]:
        st.query_params[key] = str(chosen)
    state[f"last-{key}"], state[f"url-{key}"] = str(chosen), st.query_params.get(key)
    return chosen


def choose_many(
    label: str,
    key: str,
    options: Sequence[str],
    default: Sequence[str],
    name: Callable[[str], str] = str,
) -> list[str]:
    """Some of `options`, in the order chosen, kept in the URL as `?key=one,two`.

    What holds for the one option of `choose` holds for them.
    """
    state, url = st.session_state, st.query_params.get(key)
    names = (url or state.get(f"last-{key}", "")).split(",")
    known = dict.fromkeys(name for name in names if name in options)
    wanted: list[str] | None = list(known) or list(default)
    if url != state.get(f"url-{key}", url):
        state[key], wanted = wanted, None
    chosen = st.multiselect(
        label, options, default=wanted, format_func=name, key=key, wrap=True
    )
    if url is not None or chosen != list(default):
        st.query_params[key] = ",".join(chosen)
    state[f"last-{key}"] = ",".join(chosen)
    state[f"url-{key}"] = st.query_params.get(key)
    return chosen


def enter_page(page: str) -> None:
    """Forget what the URL was on another page, whose choices have other meanings."""
    state = st.session_state
    if state.get("page") != page:
        for key in [key for key in state if str(key).startswith("url-")]:
            del state[key]
        state["page"] = page


def dark() -> bool:
    """Whether the visitor looks at the dark theme."""
    return st.context.theme.type == "dark"


def chart_ink() -> Ink:
    """The colours of text and lines for the visitor's theme."""
    return ink(dark())


def show_chart(chart: alt.LayerChart, *, says: str, file: str | None = None) -> None:
    """A chart over the full width; `says` is its message for screen readers.

    A button below it saves what is drawn as `file`, where the page has no such button.
    """
    words = {"labelColor": chart_ink().muted, "titleColor": chart_ink().muted}
    chart = chart.configure_axis(**words)  # Streamlit's own grey is too pale to read
    chart = chart.configure_legend(**words)
    if file is None:
        st.altair_chart(chart, width="stretch", alt=says)
        return
    with st.container(gap=None, horizontal_alignment="right"):
        st.altair_chart(chart, width="stretch", alt=says)
        st.download_button(
            f"Download {file}",
            lambda: drawn(chart).to_csv(index=False).encode(),
            file_name=file,
            mime="text/csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            key=f"download-{file.removesuffix('.csv')}",
        )


def drawn(chart: alt.LayerChart) -> pd.DataFrame:
    """The table behind a chart: of those of its layers, the one with most columns."""
    layers = [chart, *chart.layer]
    tables = [each.data for each in layers if isinstance(each.data, pd.DataFrame)]
    return max(tables, key=lambda table: table.shape[1])


def text_table(table: pd.DataFrame, *, says: str) -> None:
    """A table of text as real HTML, which screen readers and searches can read."""
    escaped = table.map(plain).rename(columns=plain)
    st.table(escaped, border="horizontal", hide_index=True, alt=says)


def pairs_table(values: dict[str, Any], *, heads: tuple[str, str], says: str) -> None:
    """Settings and their values, nested ones as `outer.inner`."""
    rows = [(key, shown(value)) for key, value in flat(values)]
    text_table(pd.DataFrame(rows, columns=list(heads)), says=says)


def notices(problems: Sequence[str]) -> None:
    """What could not be read; the rest of the page stands."""
    for problem in problems:
        st.warning(plain(problem))


def opened(load: Callable[[Path], T], results: Path) -> T | None:
    """What `load` finds; a damaged file becomes a notice, and None as a missing one."""
    try:
        return load(results)
    except ResultsError as error:
        notices([str(error)])
        return None


def download(results: Path, table: str) -> None:
    """A button for `tables/<table>.csv`, as it is."""
    content = opened(lambda r: data.load_bytes(r / "tables" / f"{table}.csv"), results)
    if content is not None:
        download_bytes(f"{table}.csv", content)


def download_bytes(file: str, content: bytes) -> None:
    """A button that saves `content` as `file`."""
    st.download_button(
        f"Download {file}",
        content,
        file_name=file,
        mime="text/csv",
        on_click="ignore",
        key=f"download-{file.removesuffix('.csv')}",
    )


def download_file(label: str, file: str, load: Callable[[], bytes], key: str) -> None:
    """A button that saves what `load` gives, asked when it is pressed, as `file`."""
    st.download_button(
        plain(label),
        load,
        file_name=file,
        mime=mimetypes.guess_type(file)[0] or "application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        key=f"download-{key}",
    )


def no_table(results: Path, index: Index, table: str) -> None:
    """The page where the table that it shows is not there, or has no row."""
    if not index.runs:
        nothing_yet(results)
        return
    if (results / "tables" / f"{table}.csv").exists():
        st.info(
            f"There is nothing to show here: {plain(f'tables/{table}.csv')} has no row "
            "of this study, or cannot be read."
        )
        return
    trained = sum(run.status in ("trained", "evaluated") for run in index.runs)
    if (results / "tables").exists():
        done = ""
    else:
        done = f" {trained} of {len(index.runs)} runs are trained so far."
    st.info(
        f"{plain(f'tables/{table}.csv')} is not written yet.{done} `make study` writes "
        "the tables at its end; meanwhile the page Runs leads to what there is."
    )


def nothing_yet(folder: object) -> None:
    """The page before the first result."""
    st.info(
        f"There are no results in {plain(folder)} yet. In a terminal, at the root of "
        "the repository, run"
    )
    st.code("make study", language="bash")
    st.markdown(
        "It trains every model of the study and fills this page; then reload it. "
        "Results that lie elsewhere are found through the environment variable "
        "`COMVAE_RESULTS`."
    )
