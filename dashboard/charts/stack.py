"""From log p(x) down to the ELBO, model by model."""

import altair as alt
import pandas as pd

from dashboard.charts.scales import fixed_scales, value_axis
from dashboard.theme import Ink, Mark

ROW_HEIGHT = 54
AXIS_HEIGHT = 110
PARTS = {
    "amortization_gap": "Amortization gap",
    "approximation_gap": "Approximation gap",
}


def stack(
    rows: pd.DataFrame, marks: dict[str, Mark], ink: Ink, *, x_title: str
) -> alt.LayerChart:
    """One bar per model that ends at log p(x) and begins at the ELBO.

    `rows`: model, title, part (a key of PARTS), start, stop, elbo, low and high (of the
    ELBO or of the whole gap), text. The mark of the model stands at `elbo`.
    """
    models = list(dict.fromkeys(rows["model"]))
    shown = rows.assign(part_title=rows["part"].map(PARTS))
    one = shown.drop_duplicates("model")
    colour, shape = fixed_scales(models, marks)
    y = alt.Y("model:N", sort=models, axis=None, scale=alt.Scale(paddingOuter=0.1))
    scale = alt.Scale(zero=False, nice=False, padding=16)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=x_title, scale=scale, axis=value_axis(ink))

    fill = alt.Color(
        "part_title:N",
        legend=alt.Legend(
            title=None, orient="top", symbolType="square", symbolStrokeWidth=0.8
        ),
        scale=alt.Scale(domain=list(PARTS.values()), range=[ink.strong, ink.faint]),
    )
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("part_title:N", title="Part"),
        alt.Tooltip("text:N", title="Mean and 95% interval, nats per image"),
    ]
    bars = (
        alt.Chart(shown)
        .mark_bar(height=15, yOffset=11, stroke=ink.muted, strokeWidth=0.8)
        .encode(y=y, x=x("start"), x2="stop:Q", color=fill, tooltip=tooltip)
    )
    names = (
        alt.Chart(one)
        .mark_text(align="left", baseline="bottom", dy=-3, fontSize=13, color=ink.text)
        .encode(x=alt.value(0), y=y, text="title:N")
    )
    spans = (
        alt.Chart(one)
        .transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=2.5, yOffset=11)
        .encode(y=y, x=x("low"), x2="high:Q", color=colour)
    )
    dots = (
        alt.Chart(one)
        .mark_point(
            filled=True,
            size=120,
            opacity=1,
            stroke=ink.outline,
            strokeWidth=0.8,
            yOffset=11,
        )
        .encode(y=y, x=x("elbo"), color=colour, shape=shape)
    )
    return (
        alt.layer(bars, names, spans, dots)
        .resolve_scale(color="independent")
        .properties(height=ROW_HEIGHT * len(models) + AXIS_HEIGHT)
        .configure_view(strokeWidth=0)
    )
