"""Rows of small images on a page, and the button that saves them."""

from collections.abc import Sequence

import streamlit as st

from dashboard import charts, components, sheet, theme
from dashboard.charts.tiles import Row


def show_rows(rows: Sequence[Row], message: str, lines: int = 1) -> None:
    """Rows of equally many images, at most `lines` lines each; for screen readers
    their names, and then the message."""
    models = [row.model for row in rows if row.model is not None]
    marks = theme.marks(models, components.dark())
    chart = charts.gallery(rows, marks, components.chart_ink(), lines=lines)
    names = "; ".join(row.name for row in rows)
    components.show_chart(chart, says=f"Rows of images: {names}. {message}")


def download_rows(name: str, rows: Sequence[Row], heads: Sequence[str] = ()) -> None:
    """A button that saves the rows as `name`.svg."""
    st.download_button(
        f"Download {name}.svg",
        lambda: sheet.svg(rows, heads),
        file_name=f"{name}.svg",
        mime="image/svg+xml",
        on_click="ignore",
        key=f"download-{name}",
    )
