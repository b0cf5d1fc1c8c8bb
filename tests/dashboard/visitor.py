"""Visits to the dashboard without a browser, and what a visitor sees there."""

import pyarrow as pa
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.support import ROOT

APP = ROOT / "dashboard" / "script" / "app.py"


def show(page="table-1", **query):
    """A page after its first run, by its path; it must not have raised."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params.update(query)
    if page != "overview":
        # as a browser asks for it: AppTest itself leads to pages that are files alone
        app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception
    return app


def follow(app, page):
    """Go to another page, as by a link."""
    app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception


def text(app):
    """All words of a page, without the escapes of Markdown."""
    kinds = ["title", "header", "subheader", "markdown", "caption", "code"]
    kinds += ["info", "warning", "error"]
    words = [element.value for kind in kinds for element in getattr(app, kind)]
    return "\n".join([*words, *bars(app)]).replace("\\", "")


def bars(app):
    """The texts of the bars of progress."""
    return [bar.proto.text.replace("\\", "") for bar in app.get("progress")]


def table(app, place=0):
    """A table of a page, without the escapes of Markdown."""
    shown = app.table[place].value
    shown = shown.map(lambda cell: cell.replace("\\", "").replace("\u00a0", " "))
    names = shown.columns.to_flat_index()
    shown.columns = [
        " ".join(name).strip() if isinstance(name, tuple) else name.replace("\\", "")
        for name in names
    ]
    return shown


def sortable(app, place=0):
    """A sortable table of a page, as it is read."""
    table = app.dataframe[place]
    written = table.proto.arrow_data.styler.display_values
    shown = table.value.astype(object)
    if written:
        texts = pa.ipc.open_stream(written).read_pandas()
        shown = texts.set_axis(shown.columns, axis=1)
    shown.columns = [
        " ".join(name).strip() if isinstance(name, tuple) else name for name in shown
    ]
    return shown.map(lambda cell: str(cell).replace("\u00a0", " "))


def charts(app):
    """The charts of a page."""
    return app.get("vega_lite_chart")


def frames(chart):
    """The tables that a chart draws."""
    return [pa.ipc.open_stream(d.data.data).read_pandas() for d in chart.proto.datasets]


def frame(chart, column):
    """The first of these tables that has a column."""
    return next(table for table in frames(chart) if column in table)


def buttons(app):
    """What can be saved, by the labels of its buttons."""
    labels = [button.label.replace("\\", "") for button in app.get("download_button")]
    return [label.removeprefix("Download ") for label in labels]


def warned(app):
    """The warnings of a page, without escapes."""
    return [warning.value.replace("\\", "") for warning in app.warning]


def headers(app):
    """The headers of a page, on the first page the answers, without escapes."""
    return [header.value.replace("\\", "") for header in app.header]
