"""The same images under two models: one point per image."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales


def against(
    images: pd.DataFrame, titles: tuple[str, str], model: str, name: str, dark: bool
) -> alt.LayerChart:
    """A quantity of each image under the first model (x) and under the second (y).

    `images`: image, first, second, in nats. `model` is the second, whose mark is
    drawn; `name` that of the quantity. On the line both are equal.
    """
    ink, mark = theme.ink(dark), theme.marks([model], dark)[model]
    low = min(float(images[["first", "second"]].min().min()), 0.0)
    high = float(images[["first", "second"]].max().max()) or 1.0
    scale = alt.Scale(domain=[low, high], nice=True)
    diagonal = (
        alt.Chart(pd.DataFrame({"at": [low, high]}))
        .mark_line(color=ink.muted, strokeWidth=1.2, strokeDash=[5, 4])
        .encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale))
    )
    place = {"scale": scale, "axis": scales.value_axis(ink)}
    points = (
        alt.Chart(images)
        .mark_point(filled=True, size=34, opacity=0.75, color=mark.colour)
        .encode(
            x=alt.X("first:Q", title=[f"{name}, nats", titles[0]], **place),
            y=alt.Y("second:Q", title=[f"{name}, nats", titles[1]], **place),
            shape=alt.value(mark.shape),
            tooltip=[
                alt.Tooltip("image:Q", title="Image"),
                alt.Tooltip("first:Q", title=titles[0], format=".3f"),
                alt.Tooltip("second:Q", title=titles[1], format=".3f"),
            ],
        )
    )
    return scales.finished([points, diagonal], 380)
