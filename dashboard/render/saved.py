"""Tables and charts as the files that a reader takes away, with their captions."""

import re
from collections.abc import Callable
from functools import partial

import altair as alt
import pandas as pd

from dashboard import elements as el
from dashboard.summary import BEST

Files = dict[str, Callable[[], bytes]]  # what writes a file, by the end of its name
PLAIN = str.maketrans({"\N{MINUS SIGN}": "-", "\N{NO-BREAK SPACE}": " "})


def slug(text: str) -> str:
    """A text as a part of an address or of a file's name."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def of_table(table: el.Table) -> Files:
    """Its cells as CSV, and with its caption as Markdown and as LaTeX."""
    return {end: partial(_table, table, end) for end in ("csv", "md", "tex")}


def _table(table: el.Table, end: str) -> bytes:
    from comvae.results.report.forms import RENDERED  # Jinja, which few visits need
    from comvae.results.report.paper import PaperTable

    cells = table.as_text().map(lambda cell: cell.translate(PLAIN))
    bold = cells.map(lambda cell: cell.endswith(f" {BEST}"))
    cells = cells.map(lambda cell: cell.removesuffix(f" {BEST}"))
    heads = pd.MultiIndex.from_tuples(
        head if isinstance(head, tuple) else (head, "") for head in cells.columns
    )
    cells, bold = (each.set_axis(heads, axis=1) for each in (cells, bold))
    layout = "l" + "r" * (cells.shape[1] - 1)
    paper = PaperTable(slug(table.says), table.says, cells, bold, layout)
    return dict(RENDERED.values())[end](paper).encode()


def of_chart(chart: el.Chart, drawn: alt.LayerChart) -> Files:
    """What it draws as CSV, but for pictures; with its caption as SVG and PNG."""
    files: Files = {} if chart.still else {"csv": partial(table_behind, drawn)}
    return files | {end: partial(_picture, chart, end) for end in ("svg", "png")}


def table_behind(chart: alt.LayerChart) -> bytes:
    """The table of a chart as CSV: of its layers' the one with most columns."""
    layers = [chart, *chart.layer]
    tables = [each.data for each in layers if isinstance(each.data, pd.DataFrame)]
    most = max(tables, key=lambda table: table.shape[1])
    return most.to_csv(index=False).encode()


def _picture(chart: el.Chart, end: str) -> bytes:
    from dashboard.render import vega  # a large library that few visits need

    return vega.picture(chart, end)
