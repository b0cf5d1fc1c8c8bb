"""Scales and axes that several charts share."""

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


def line_scales(
    titles: dict[str, str], marks: dict[str, Mark]
) -> tuple[alt.Color, alt.StrokeDash]:
    """Colour and dashes of the column `title`, with one legend for both."""
    legend = alt.Legend(**LEGEND)
    domain = list(titles.values())
    chosen = [marks[model] for model in titles]
    colour = alt.Color("title:N", legend=legend).scale(
        domain=domain, range=[mark.colour for mark in chosen]
    )
    dash = alt.StrokeDash("title:N", legend=legend).scale(
        domain=domain, range=[list(mark.dash) for mark in chosen]
    )
    return colour, dash


def fixed_scales(models: list[str], marks: dict[str, Mark]) -> tuple:
    """Colour and shape of the column `model`, without a legend: names stand by."""
    colour = alt.Color("model:N", legend=None).scale(
        domain=models, range=[marks[model].colour for model in models]
    )
    shape = alt.Shape("model:N", legend=None).scale(
        domain=models, range=[marks[model].shape for model in models]
    )
    return colour, shape


def value_axis(ink: Ink) -> alt.Axis:
    """The axis of values in nats: a light grid and no lines."""
    return alt.Axis(gridColor=ink.grid, tickCount=6, domain=False, ticks=False)
