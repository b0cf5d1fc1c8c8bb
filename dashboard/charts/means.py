"""Means with their intervals, one row per model."""

import math

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales
from dashboard.charts.scales import BELOW
from dashboard.summary import ours_text, seeds_text, with_unit
from dashboard.text import number, signed


def means(rows: pd.DataFrame, metric: str, dark: bool) -> alt.LayerChart:
    """Mean and 95% interval per model, the paper's value as a hollow diamond.

    `rows` are those of `summary.metric_rows`. A model without a result keeps its row,
    which says why it is empty.
    """
    ink = theme.Ink(dark)
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
    title, better = with_unit(metric), QUANTITIES[metric].better
    if better:
        title += f" ({better} is better)"
    x = scales.values(alt.X, title, ink, zero=False, nice=False, padding=14)
    y, names = scales.model_rows(shown, ink, "label")
    colour, shape = scales.mark_scales(shown["model"].tolist(), dark)
    tooltip = scales.tips(
        title="Model",
        ours_text="Ours, mean and 95% interval",
        seeds_text="Seeds",
        paper_text="Paper",
        difference_text="Ours minus paper",
    )
    base = alt.Chart(shown).encode(y=y, color=colour, tooltip=tooltip)
    lines = base.mark_rule(**scales.SPAN, **BELOW).encode(x=x("low"), x2="high:Q")
    dots = base.mark_point(**scales.dot(ink, 140, **BELOW))
    layers = [names, lines, dots.encode(x=x("mean"), shape=shape)]
    if shown["paper"].notna().any():
        hollow = {"filled": False, "size": 120, "strokeWidth": 1.8}
        diamonds = base.mark_point(**hollow, **BELOW, shape=theme.PAPER_SHAPE)
        layers.append(diamonds.encode(x=x("paper"), color=alt.value(ink.text)))
    return scales.in_rows(layers, shown)
