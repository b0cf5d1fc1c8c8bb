"""What a gap costs: models by their time to encode, and the curve to be under."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales
from dashboard.charts.posterior import LEGEND, LEGEND_HEIGHT


def price(rows: pd.DataFrame, curve: pd.DataFrame, dark: bool) -> alt.LayerChart:
    """A mark for each model, with the interval of its gap; a line through `curve`.

    `rows`: model, title, encode_seconds, gap, low, high (nats per image), text (of the
    tooltip). `curve`: steps, encode_seconds and gap of a search.
    """
    models = rows.set_index("title")["model"]
    ink, marks = theme.Ink(dark), theme.marks(models.tolist(), dark)
    colours = {title: marks[model].colour for title, model in models.items()}
    shapes = {title: marks[model].shape for title, model in models.items()}
    x = scales.values(
        alt.X,
        "Seconds to encode 1,000 images (logarithmic)",
        ink,
        {"format": "~g"},
        type="log",
        padding=14,
    )
    y = scales.values(alt.Y, "Amortization gap, nats (lower is better)", ink)
    base = alt.Chart(rows).encode(
        x=x("encode_seconds"),
        color=scales.looks(alt.Color, "title", colours, LEGEND),
        tooltip=[
            *scales.tips(title="Model", text="Gap closed, nats per image"),
            *scales.tips(",.3g", gap="Gap", encode_seconds="Seconds"),
        ],
    )
    dashed = {"color": ink.muted, "strokeDash": [5, 3]}
    search = alt.Chart(curve).mark_line(
        **dashed, point={"color": ink.muted, "size": 24}
    )
    steps = [*scales.tips(steps="Steps"), *scales.tips(",.3g", gap="Gap")]
    line = search.encode(x=x("encode_seconds"), y=y("gap"), tooltip=steps)
    layers = [
        *([] if curve.empty else [line]),
        base.mark_rule(**scales.SPAN).encode(y=y("low"), y2="high:Q"),
        base.mark_point(**scales.dot(ink, 130)).encode(
            y=y("gap"), shape=scales.looks(alt.Shape, "title", shapes, LEGEND)
        ),
    ]
    return scales.finished(layers, 420 + LEGEND_HEIGHT * len(models))
