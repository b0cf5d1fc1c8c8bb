"""From log p(x) down to the ELBO, model by model."""

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales
from dashboard.charts.scales import BELOW

LEGEND = {
    "title": None,
    "orient": "top",
    "symbolType": "square",
    "symbolStrokeWidth": 0.8,
    "columns": 1,  # a phone has no room for more
    "labelLimit": 330,
}
LEGEND_HEIGHT = 64


def stack(rows: pd.DataFrame, dark: bool, *, x_title: str) -> alt.LayerChart:
    """One bar per model that ends at log p(x) and begins at the ELBO.

    `rows`: model, title, part (the name of a gap), start, stop, elbo, low and high (of
    the ELBO or of the whole gap), text, both (of the tooltip). The mark of the model
    stands at `elbo`.
    """
    ink = theme.Ink(dark)
    shown = rows.assign(part_title=[QUANTITIES[part].title for part in rows["part"]])
    x = scales.values(alt.X, x_title, ink, zero=False, nice=False, padding=16)
    y, names = scales.model_rows(shown, ink, "title")
    fills = dict(
        zip(
            shown["part_title"].unique(),
            (ink.muted, ink.strong, ink.faint),
            strict=True,
        )
    )
    tooltip = scales.tips(
        title="Model",
        part_title="Part",
        text="Mean and 95% interval, nats per image",
        both="95% interval over seeds and images",
    )
    bars = alt.Chart(shown).mark_bar(
        height=15, stroke=ink.muted, strokeWidth=0.8, **BELOW
    )
    once = shown.drop_duplicates("model")
    colour, shape = scales.mark_scales(once["model"].tolist(), dark)
    base = alt.Chart(once).encode(y=y, color=colour)
    dots = base.mark_point(**scales.dot(ink, 120, **BELOW))
    layers = [
        bars.encode(
            x=x("start"),
            x2="stop:Q",
            y=y,
            color=scales.looks(alt.Color, "part_title", fills, LEGEND),
            tooltip=tooltip,
        ),
        names,
        base.mark_rule(**scales.SPAN, **BELOW).encode(x=x("low"), x2="high:Q"),
        dots.encode(x=x("elbo"), shape=shape),
    ]
    return scales.in_rows(layers, shown, LEGEND_HEIGHT).resolve_scale(
        color="independent"
    )
