"""From log p(x) down to the ELBO, model by model."""

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales

ROW_HEIGHT = 54
AXIS_HEIGHT = 110
BELOW = {"yOffset": 11}  # of marks, under the name of their row


def stack(rows: pd.DataFrame, dark: bool, *, x_title: str) -> alt.LayerChart:
    """One bar per model that ends at log p(x) and begins at the ELBO.

    `rows`: model, title, part (the name of a gap), start, stop, elbo, low and high (of
    the ELBO or of the whole gap), text. The mark of the model stands at `elbo`.
    """
    ink, models = theme.ink(dark), list(dict.fromkeys(rows["model"]))
    colour, shape = scales.mark_scales(models, theme.marks(models, dark))
    parts = {part: QUANTITIES[part].title for part in dict.fromkeys(rows["part"])}
    shown = rows.assign(part_title=rows["part"].map(parts))
    scale = alt.Scale(zero=False, nice=False, padding=16)
    x = scales.along_x(x_title, scale, scales.value_axis(ink))
    fill = alt.Color(
        "part_title:N",
        legend=alt.Legend(
            title=None, orient="top", symbolType="square", symbolStrokeWidth=0.8
        ),
        scale=alt.Scale(domain=list(parts.values()), range=[ink.strong, ink.faint]),
    )
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("part_title:N", title="Part"),
        alt.Tooltip("text:N", title="Mean and 95% interval, nats per image"),
    ]
    y = scales.model_rows(models)
    bars = (
        alt.Chart(shown)
        .mark_bar(height=15, stroke=ink.muted, strokeWidth=0.8, **BELOW)
        .encode(y=y, x=x("start"), x2="stop:Q", color=fill, tooltip=tooltip)
    )
    base = alt.Chart(shown.drop_duplicates("model")).encode(y=y)
    spans = (
        base.transform_filter(scales.HAS_INTERVAL)
        .mark_rule(strokeWidth=2.5, **BELOW)
        .encode(x=x("low"), x2="high:Q", color=colour)
    )
    dots = base.mark_point(**scales.dot(ink, 120, **BELOW)).encode(
        x=x("elbo"), color=colour, shape=shape
    )
    layers = [bars, scales.names_above(base, "title", ink, dy=-3), spans, dots]
    chart = scales.finished(layers, ROW_HEIGHT * len(models) + AXIS_HEIGHT)
    return chart.resolve_scale(color="independent")
