"""How a gap is distributed over the images, model by model."""

import altair as alt
import pandas as pd

from dashboard.charts.scales import fixed_scales, value_axis
from dashboard.theme import Ink, Mark

ROW_HEIGHT = 52
AXIS_HEIGHT = 84


def quantiles(
    rows: pd.DataFrame, marks: dict[str, Mark], ink: Ink, *, x_title: str
) -> alt.LayerChart:
    """A thin line from 5% to 95% of the images, a thick one from 25% to 75%.

    `rows`: model, title, mean, q05, q25, median, q75, q95. The tick is the median, the
    mark of the model the mean.
    """
    models = rows["model"].tolist()
    colour, shape = fixed_scales(models, marks)
    scale = alt.Scale(nice=False, padding=14)
    base = alt.Chart(rows).encode(
        y=alt.Y("model:N", sort=models, axis=None, scale=alt.Scale(paddingOuter=0.1))
    )

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=x_title, scale=scale, axis=value_axis(ink))

    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("mean:Q", title="Mean", format=".3f"),
        alt.Tooltip("median:Q", title="Median", format=".3f"),
        alt.Tooltip("q05:Q", title="5% of images below", format=".3f"),
        alt.Tooltip("q95:Q", title="95% of images below", format=".3f"),
    ]
    names = base.mark_text(
        align="left", baseline="bottom", dy=-4, fontSize=13, color=ink.text
    ).encode(x=alt.value(0), text="title:N")
    thin = base.mark_rule(strokeWidth=1.5, yOffset=10).encode(
        x=x("q05"), x2="q95:Q", color=colour, tooltip=tooltip
    )
    thick = base.mark_rule(strokeWidth=7, opacity=0.55, yOffset=10).encode(
        x=x("q25"), x2="q75:Q", color=colour, tooltip=tooltip
    )
    middle = base.mark_tick(color=ink.text, thickness=2.2, size=17, yOffset=10).encode(
        x=x("median"), tooltip=tooltip
    )
    dots = base.mark_point(
        filled=True,
        size=90,
        opacity=1,
        stroke=ink.outline,
        strokeWidth=0.8,
        yOffset=10,
    ).encode(x=x("mean"), color=colour, shape=shape, tooltip=tooltip)
    return (
        alt.layer(names, thin, thick, middle, dots)
        .properties(height=ROW_HEIGHT * len(models) + AXIS_HEIGHT)
        .configure_view(strokeWidth=0)
    )
