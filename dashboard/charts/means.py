"""Means with their intervals, one row per model."""

import math

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales
from dashboard.summary import ours_text, seeds_text, with_unit
from dashboard.text import number, signed

ROW_HEIGHT = 52  # pixels: a line of text above a mark
AXIS_HEIGHT = 84  # pixels: tick labels and title
BELOW = {"yOffset": 10}  # of marks, under the name of their row


def means(rows: pd.DataFrame, metric: str, dark: bool) -> alt.LayerChart:
    """Mean and 95% interval per model, the paper's value as a hollow diamond.

    `rows` are those of `summary.metric_rows`. A model without a result keeps its row,
    which says why it is empty.
    """
    ink = theme.ink(dark)
    shown = rows.assign(
        label=[
            f"{row.title}  ({row.note})" if row.note else row.title
            for row in rows.itertuples()
        ],
        ours_text=[ours_text(row) for row in rows.itertuples()],
        seeds_text=[seeds_text(row) for row in rows.itertuples()],
        paper_text=rows["paper"].map(number),
        difference_text=rows["difference"].map(signed),
    ).replace([math.inf, -math.inf], math.nan)
    models = shown["model"].tolist()
    colour, shape = scales.mark_scales(models, theme.marks(models, dark))
    better = QUANTITIES[metric].better
    better = f" ({better} is better)" if better else ""
    scale = alt.Scale(zero=False, nice=False, padding=14)
    title = f"{with_unit(metric)}{better}"
    x = scales.along_x(title, scale, scales.value_axis(ink))
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("ours_text:N", title="Ours, mean and 95% interval"),
        alt.Tooltip("seeds_text:N", title="Seeds"),
        alt.Tooltip("paper_text:N", title="Paper"),
        alt.Tooltip("difference_text:N", title="Ours minus paper"),
    ]
    base = alt.Chart(shown).encode(y=scales.model_rows(models))
    there = base.transform_filter("isValid(datum.mean)")
    lines = (
        there.transform_filter(scales.HAS_INTERVAL)
        .mark_rule(**scales.SPAN, **BELOW)
        .encode(x=x("low"), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = there.mark_point(**scales.dot(ink, 140, **BELOW)).encode(
        x=x("mean"), color=colour, shape=shape, tooltip=tooltip
    )
    layers = [scales.names_above(base, "label", ink), lines, dots]
    if shown["paper"].notna().any():
        hollow = {"filled": False, "size": 120, "strokeWidth": 1.8}
        diamonds = (
            base.transform_filter("isValid(datum.paper)")
            .mark_point(**hollow, **BELOW, shape=theme.PAPER_SHAPE)
            .encode(x=x("paper"), stroke=alt.value(ink.text), tooltip=tooltip)
        )
        layers.append(diamonds)
    return scales.finished(layers, ROW_HEIGHT * len(models) + AXIS_HEIGHT)
