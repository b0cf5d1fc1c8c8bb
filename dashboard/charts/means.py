"""Means with their intervals, one row per model."""

import math

import altair as alt
import pandas as pd

from dashboard.summary import LOWER_IS_BETTER, METRICS, number, ours_text, seeds_text
from dashboard.summary import signed as signed_text
from dashboard.theme import PAPER_SHAPE, Ink, Mark

ROW_HEIGHT = 52  # pixels: a line of text above a mark
AXIS_HEIGHT = 84  # pixels: tick labels and title


def intervals(
    rows: pd.DataFrame, metric: str, marks: dict[str, Mark], ink: Ink
) -> alt.LayerChart:
    """Mean and 95% interval per model, the paper's value as a hollow diamond.

    `rows` are those of `summary.metric_rows`. A model without a result keeps its row,
    which says why it is empty. Names stand above their marks, so that the chart can be
    read on a phone and needs no legend.
    """
    shown = rows.assign(
        label=[_label(row) for row in rows.itertuples()],
        ours_text=[ours_text(row) for row in rows.itertuples()],
        seeds_text=[seeds_text(row) for row in rows.itertuples()],
        paper_text=rows["paper"].map(number),
        difference_text=rows["difference"].map(signed_text),
    ).replace([math.inf, -math.inf], math.nan)
    order = shown["model"].tolist()
    colour = alt.Color("model:N", legend=None).scale(
        domain=order, range=[marks[model].colour for model in order]
    )
    shape = alt.Shape("model:N", legend=None).scale(
        domain=order, range=[marks[model].shape for model in order]
    )
    better = " (lower is better)" if metric in LOWER_IS_BETTER else ""

    def x(field: str) -> alt.X:
        return alt.X(
            f"{field}:Q",
            title=f"{METRICS[metric]}, nats per image{better}",
            scale=alt.Scale(zero=False, nice=False, padding=14),
            axis=alt.Axis(gridColor=ink.grid, tickCount=6, domain=False, ticks=False),
        )

    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("ours_text:N", title="Ours, mean and 95% interval"),
        alt.Tooltip("seeds_text:N", title="Seeds"),
        alt.Tooltip("paper_text:N", title="Paper"),
        alt.Tooltip("difference_text:N", title="Ours minus paper"),
    ]
    base = alt.Chart(shown).encode(
        y=alt.Y("model:N", sort=order, axis=None, scale=alt.Scale(paddingOuter=0.1))
    )
    labels = base.mark_text(
        align="left", baseline="bottom", dy=-4, fontSize=13, color=ink.text
    ).encode(x=alt.value(0), text="label:N")
    finished = base.transform_filter("isValid(datum.mean)")
    lines = (
        finished.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=2.5, strokeCap="round", yOffset=10)
        .encode(x=x("low"), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = finished.mark_point(
        filled=True,
        size=140,
        opacity=1,
        stroke=ink.outline,
        strokeWidth=0.8,
        yOffset=10,
    ).encode(x=x("mean"), color=colour, shape=shape, tooltip=tooltip)
    layers = [labels, lines, dots]
    if shown["paper"].notna().any():
        diamonds = (
            base.transform_filter("isValid(datum.paper)")
            .mark_point(
                filled=False, size=120, shape=PAPER_SHAPE, strokeWidth=1.8, yOffset=10
            )
            .encode(x=x("paper"), stroke=alt.value(ink.text), tooltip=tooltip)
        )
        layers.append(diamonds)
    chart = alt.layer(*layers).properties(height=ROW_HEIGHT * len(order) + AXIS_HEIGHT)
    return chart.configure_view(strokeWidth=0)


def _label(row) -> str:
    return f"{row.title}  ({row.note})" if row.note else row.title
