"""The same images under two models: one point per image."""

import altair as alt
import pandas as pd

from dashboard.charts.scales import value_axis
from dashboard.theme import Ink, Mark


def against(
    images: pd.DataFrame, titles: tuple[str, str], mark: Mark, ink: Ink, *, gap: str
) -> alt.LayerChart:
    """A gap of each image under the first model (x) and under the second (y).

    `images`: image, first, second, in nats. `mark` is that of the second model. On the
    line both are equal.
    """
    low = float(images[["first", "second"]].min().min())
    high = float(images[["first", "second"]].max().max())
    scale = alt.Scale(domain=[min(low, 0.0), high or 1.0], nice=True)
    diagonal = (
        alt.Chart(pd.DataFrame({"at": [min(low, 0.0), high or 1.0]}))
        .mark_line(color=ink.muted, strokeWidth=1.2, strokeDash=[5, 4])
        .encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale))
    )
    points = (
        alt.Chart(images)
        .mark_point(filled=True, size=34, opacity=0.75, color=mark.colour)
        .encode(
            x=alt.X(
                "first:Q",
                title=[f"{gap}, nats", f"{titles[0]}"],
                scale=scale,
                axis=value_axis(ink),
            ),
            y=alt.Y(
                "second:Q",
                title=[f"{gap}, nats", f"{titles[1]}"],
                scale=scale,
                axis=value_axis(ink),
            ),
            shape=alt.value(mark.shape),
            tooltip=[
                alt.Tooltip("image:Q", title="Image"),
                alt.Tooltip("first:Q", title=titles[0], format=".3f"),
                alt.Tooltip("second:Q", title=titles[1], format=".3f"),
            ],
        )
    )
    return (
        alt.layer(points, diagonal).properties(height=380).configure_view(strokeWidth=0)
    )
