"""How a quantity is distributed over the images, model by model."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales
from dashboard.charts.scales import BELOW


def quantiles(rows: pd.DataFrame, dark: bool, *, x_title: str) -> alt.LayerChart:
    """A thin line from 5% to 95% of the images, a thick one from 25% to 75%.

    `rows`: model, title, mean, q05, q25, median, q75, q95. The tick is the median, the
    mark of the model the mean.
    """
    ink = theme.Ink(dark)
    x = scales.values(alt.X, x_title, ink, nice=False, padding=14)
    y, names = scales.model_rows(rows, ink, "title")
    colour, shape = scales.mark_scales(rows["model"].tolist(), dark)
    tooltip = scales.tips(title="Model") + scales.tips(
        ".3f",
        mean="Mean",
        median="Median",
        q05="5% of images below",
        q95="95% of images below",
    )
    base = alt.Chart(rows).encode(y=y, tooltip=tooltip, color=colour)
    thin = base.mark_rule(strokeWidth=1.5, **BELOW)
    thick = base.mark_rule(strokeWidth=7, opacity=0.55, **BELOW)
    middle = base.mark_tick(thickness=2.2, size=17, **BELOW)
    dots = base.mark_point(**scales.dot(ink, 90, **BELOW))
    layers = [
        names,
        thin.encode(x=x("q05"), x2="q95:Q"),
        thick.encode(x=x("q25"), x2="q75:Q"),
        middle.encode(x=x("median"), color=alt.value(ink.text)),
        dots.encode(x=x("mean"), shape=shape),
    ]
    return scales.in_rows(layers, rows)
