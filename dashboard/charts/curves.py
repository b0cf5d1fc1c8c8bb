"""Training curves, of one run or of several models with a band over their seeds."""

import math

import altair as alt
import pandas as pd

from dashboard.charts.scales import line_scales
from dashboard.summary import METRICS, number
from dashboard.theme import Ink, Mark

TERM_TITLES = METRICS | {"weight_kl": "Weight KL"}
TERM_UNITS = dict.fromkeys(METRICS, "nats per image") | {"weight_kl": "nats"}


def curve(history: pd.DataFrame, term: str, mark: Mark, ink: Ink) -> alt.LayerChart:
    """One term of the objective over the epochs of one run.

    `history` holds `epoch` and `term`; epochs without a finite value are left out.
    """
    finite = history[history[term].abs() < math.inf][["epoch", term]]
    epochs = [history["epoch"].min(), history["epoch"].max()]  # the same in all panels
    title = TERM_TITLES[term]
    base = alt.Chart(finite).encode(
        x=alt.X(
            "epoch:Q",
            title="Epoch",
            scale=alt.Scale(nice=False, domain=epochs),
            axis=alt.Axis(grid=False, tickMinStep=1, tickCount=5, format="d"),
        ),
        y=alt.Y(
            f"{term}:Q",
            title=TERM_UNITS[term],
            scale=alt.Scale(zero=False),
            axis=alt.Axis(
                gridColor=ink.grid,
                tickCount=5,
                domain=False,
                ticks=False,
                format=",~r",
            ),
        ),
        tooltip=[
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip(
                f"{term}:Q", title=f"{title}, {TERM_UNITS[term]}", format=",.2f"
            ),
        ],
    )
    line = base.mark_line(color=mark.colour, strokeWidth=2)
    # invisible, but wide enough to be met by a pointer or a finger
    targets = base.mark_point(opacity=0, size=160, filled=True)
    return (
        alt.layer(line, targets)
        .properties(height=270, title=alt.Title(title, fontSize=14, anchor="start"))
        .configure_view(strokeWidth=0)
    )


def curve_message(history: pd.DataFrame, term: str) -> str:
    """What a curve shows, in one sentence for its `alt` text."""
    finite = history[history[term].abs() < math.inf].sort_values("epoch")
    name, unit = TERM_TITLES[term], TERM_UNITS[term]
    if finite.empty:
        return f"{name}: no epoch has a finite value."
    first, last = finite.iloc[0], finite.iloc[-1]
    return (
        f"{name} goes from {number(first[term])} in epoch {first['epoch']:.0f} to "
        f"{number(last[term])} {unit} in epoch {last['epoch']:.0f}."
    )


def bands(
    epochs: pd.DataFrame, term: str, marks: dict[str, Mark], ink: Ink
) -> alt.LayerChart:
    """The mean of each model over its seeds by epoch, in a band from least to most.

    `epochs` has the columns model, title, epoch, mean, least, most and n_seeds.
    """
    titles = dict(zip(epochs["model"], epochs["title"], strict=True))
    colour, dash = line_scales(titles, marks)
    base = alt.Chart(epochs).encode(
        x=alt.X(
            "epoch:Q",
            title="Epoch",
            scale=alt.Scale(nice=False),
            axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6, format="d"),
        ),
    )
    y = {
        "title": f"{TERM_TITLES[term]}, {TERM_UNITS[term]}",
        "scale": alt.Scale(zero=False),
        "axis": alt.Axis(gridColor=ink.grid, tickCount=6, domain=False, ticks=False),
    }
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("mean:Q", title="Mean over seeds", format=",.2f"),
        alt.Tooltip("least:Q", title="Lowest seed", format=",.2f"),
        alt.Tooltip("most:Q", title="Highest seed", format=",.2f"),
        alt.Tooltip("n_seeds:Q", title="Seeds"),
    ]
    areas = [
        base.transform_filter(alt.datum.model == model)
        .mark_area(opacity=0.22, color=marks[model].colour)
        .encode(y=alt.Y("least:Q", **y), y2="most:Q")
        for model in titles
    ]
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("mean:Q", **y), color=colour, strokeDash=dash
    )
    targets = base.mark_point(opacity=0, size=90, filled=True).encode(
        y=alt.Y("mean:Q", **y), tooltip=tooltip
    )
    return (
        alt.layer(*areas, line, targets)
        .properties(height=360 + 18 * len(titles))
        .configure_view(strokeWidth=0)
    )
