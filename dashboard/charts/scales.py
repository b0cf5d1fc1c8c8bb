"""The vocabulary of the charts: scales, marks and tooltips that several share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.theme import Ink, Mark

LEGEND = {
    "orient": "bottom",
    "columns": 1,
    "labelLimit": 330,
    "title": None,
    "symbolType": "stroke",
    "symbolSize": 500,
    "symbolStrokeWidth": 2.5,
    "symbolOpacity": 1,
}
SPAN = {"strokeWidth": 2.5, "strokeCap": "round"}  # of an interval
ROW_HEIGHT = 52  # pixels of a model: a line of text above a mark
AXIS_HEIGHT = 84  # tick labels and title
BELOW = {"yOffset": 10}  # of marks, under the name of their row


def looks(
    channel: type, field: str, values: Mapping[str, Any], legend: dict | None = None
) -> alt.Color | alt.Shape | alt.StrokeDash:
    """A channel that gives each value of a column its own look."""
    scale = alt.Scale(domain=list(values), range=list(values.values()))
    shown = None if legend is None else alt.Legend(**legend)
    return channel(f"{field}:N", scale=scale, legend=shown)


def mark_scales(
    models: Sequence[str], dark: bool, marks: dict[str, Mark] | None = None
) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the column `model`, without a legend: names stand by."""
    marks = marks or theme.marks(models, dark)
    colours = {model: marks[model].colour for model in models}
    shapes = {model: marks[model].shape for model in models}
    return looks(alt.Color, "model", colours), looks(alt.Shape, "model", shapes)


def dot(ink: Ink, size: int, **more: object) -> dict:
    """How a filled mark is drawn; its outline is seen where its colour is pale."""
    look = {"filled": True, "size": size, "opacity": 1}
    return look | {"stroke": ink.outline, "strokeWidth": 0.8} | more


def values(
    channel: type, title: Any, ink: Ink, axis: dict[str, Any] | None = None, **scale
) -> Callable[[str], alt.X | alt.Y]:
    """Columns of numbers that share one axis: a light grid and no lines."""
    look = {"gridColor": ink.grid, "tickCount": 6, "domain": False, "ticks": False}
    how = {"scale": alt.Scale(**scale), "axis": alt.Axis(**look | (axis or {}))}
    return lambda column: channel(f"{column}:Q", title=title, **how)


def tips(number_format: str = "", /, **titles: str) -> list[alt.Tooltip]:
    """Tooltips of columns by their titles: of numbers in a format, or of text."""
    if not number_format:
        return [alt.Tooltip(f"{name}:N", title=title) for name, title in titles.items()]
    return [
        alt.Tooltip(f"{name}:Q", title=title, format=number_format)
        for name, title in titles.items()
    ]


def at_zero(x: Callable[[str], alt.X], ink: Ink) -> alt.Chart:
    """A line where x is 0."""
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]}))
    return zero.mark_rule(color=ink.muted, strokeWidth=1.2).encode(x=x("zero"))


def model_rows(rows: pd.DataFrame, ink: Ink, label: str) -> tuple[alt.Y, alt.Chart]:
    """A row for each model; and its name above its mark, so that a phone has room."""
    models = rows["model"].unique().tolist()
    scale = alt.Scale(paddingOuter=0.1)
    y = alt.Y("model:N", sort=models, axis=None, scale=scale)
    look = {"align": "left", "baseline": "bottom", "dy": -4, "fontSize": 13}
    names = alt.Chart(rows.drop_duplicates("model")).mark_text(**look, color=ink.text)
    return y, names.encode(x=alt.value(0), y=y, text=f"{label}:N")


def finished(layers: Sequence[alt.Chart], height: int) -> alt.LayerChart:
    """The layers as one chart without a frame."""
    return alt.layer(*layers).properties(height=height).configure_view(strokeWidth=0)


def in_rows(
    layers: Sequence[alt.Chart], rows: pd.DataFrame, legend: int = 0
) -> alt.LayerChart:
    """The layers as one chart, as high as the rows of its models and its legend."""
    height = ROW_HEIGHT * rows["model"].nunique() + AXIS_HEIGHT
    return finished(layers, height + legend)
