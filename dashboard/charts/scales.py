"""Scales, axes and marks that several charts share."""

from collections.abc import Callable, Sequence

import altair as alt

from dashboard.theme import Ink, Mark

LEGEND = {
    "orient": "bottom",
    "columns": 1,
    "labelLimit": 330,
    "title": None,
    "symbolType": "stroke",
    "symbolSize": 500,
    "symbolStrokeWidth": 2.5,
}
SPAN = {"strokeWidth": 2.5, "strokeCap": "round"}  # of an interval
HAS_INTERVAL = "isValid(datum.low) && isValid(datum.high)"


def mark_scales(
    models: Sequence[str], marks: dict[str, Mark]
) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the column `model`, without a legend: names stand by."""
    colour = alt.Color("model:N", legend=None).scale(
        domain=list(models), range=[marks[model].colour for model in models]
    )
    shape = alt.Shape("model:N", legend=None).scale(
        domain=list(models), range=[marks[model].shape for model in models]
    )
    return colour, shape


def dot(ink: Ink, size: int, **more: object) -> dict:
    """How a filled mark is drawn; its outline is seen where its colour is pale."""
    look = {"filled": True, "size": size, "opacity": 1}
    return look | {"stroke": ink.outline, "strokeWidth": 0.8} | more


def value_axis(ink: Ink, **more: object) -> alt.Axis:
    """The axis of values: a light grid and no lines."""
    look = {"gridColor": ink.grid, "tickCount": 6, "domain": False, "ticks": False}
    return alt.Axis(**look | more)


def model_rows(models: Sequence[str]) -> alt.Y:
    """A row for each model, with room for its name above its mark."""
    scale = alt.Scale(paddingOuter=0.1)
    return alt.Y("model:N", sort=list(models), axis=None, scale=scale)


def names_above(base: alt.Chart, field: str, ink: Ink, dy: int = -4) -> alt.Chart:
    """The name of each row above its mark, so that a phone has room for both."""
    return base.mark_text(
        align="left", baseline="bottom", dy=dy, fontSize=13, color=ink.text
    ).encode(x=alt.value(0), text=f"{field}:N")


def along_x(title: str, scale: alt.Scale, axis: alt.Axis) -> Callable[[str], alt.X]:
    """Fields of numbers that share one axis."""
    return lambda field: alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def finished(layers: Sequence[alt.Chart], height: int) -> alt.LayerChart:
    """The layers as one chart without a frame."""
    return alt.layer(*layers).properties(height=height).configure_view(strokeWidth=0)
