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
    ink, mark = theme.Ink(dark), theme.marks([model], dark)[model]
    first, second = titles
    low = min(float(images[["first", "second"]].min().min()), 0.0)
    high = float(images[["first", "second"]].max().max()) or 1.0
    domain, unit = [low, high], f"{name}, nats"
    x = scales.values(alt.X, [unit, first], ink, domain=domain, nice=True)
    y = scales.values(alt.Y, [unit, second], ink, domain=domain, nice=True)
    points = alt.Chart(images).mark_point(
        filled=True, size=34, opacity=0.75, color=mark.colour, shape=mark.shape
    )
    tooltip = scales.tips(image="Image")
    tooltip += scales.tips(".3f", first=first, second=second)
    ends = pd.DataFrame({"first": domain, "second": domain})
    diagonal = alt.Chart(ends).mark_line(
        color=ink.muted, strokeWidth=1.2, strokeDash=[5, 4]
    )
    place = {"x": x("first"), "y": y("second")}
    layers = [points.encode(**place, tooltip=tooltip), diagonal.encode(**place)]
    return scales.finished(layers, 380)
