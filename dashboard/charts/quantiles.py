"""How a quantity is distributed over the images, model by model."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales

ROW_HEIGHT = 52
AXIS_HEIGHT = 84
BELOW = {"yOffset": 10}  # of marks, under the name of their row


def quantiles(rows: pd.DataFrame, dark: bool, *, x_title: str) -> alt.LayerChart:
    """A thin line from 5% to 95% of the images, a thick one from 25% to 75%.

    `rows`: model, title, mean, q05, q25, median, q75, q95. The tick is the median, the
    mark of the model the mean.
    """
    ink, models = theme.ink(dark), rows["model"].tolist()
    colour, shape = scales.mark_scales(models, theme.marks(models, dark))
    scale = alt.Scale(nice=False, padding=14)
    x = scales.along_x(x_title, scale, scales.value_axis(ink))
    base = alt.Chart(rows).encode(y=scales.model_rows(models))
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("mean:Q", title="Mean", format=".3f"),
        alt.Tooltip("median:Q", title="Median", format=".3f"),
        alt.Tooltip("q05:Q", title="5% of images below", format=".3f"),
        alt.Tooltip("q95:Q", title="95% of images below", format=".3f"),
    ]
    thin = base.mark_rule(strokeWidth=1.5, **BELOW).encode(
        x=x("q05"), x2="q95:Q", color=colour, tooltip=tooltip
    )
    thick = base.mark_rule(strokeWidth=7, opacity=0.55, **BELOW).encode(
        x=x("q25"), x2="q75:Q", color=colour, tooltip=tooltip
    )
    middle = base.mark_tick(color=ink.text, thickness=2.2, size=17, **BELOW).encode(
        x=x("median"), tooltip=tooltip
    )
    dots = base.mark_point(**scales.dot(ink, 90, **BELOW)).encode(
        x=x("mean"), color=colour, shape=shape, tooltip=tooltip
    )
    names = scales.names_above(base, "title", ink)
    height = ROW_HEIGHT * len(models) + AXIS_HEIGHT
    return scales.finished([names, thin, thick, middle, dots], height)
