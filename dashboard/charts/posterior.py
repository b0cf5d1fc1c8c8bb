"""q(z given x) of one image: mean and deviation of every latent, beside the prior."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales

MARK_HEIGHT = 15  # of one model
LATENT_GAP = 12  # between latents
AXIS_HEIGHT = 70  # tick labels and title
LEGEND_HEIGHT = 26  # of one model
LEGEND = scales.LEGEND | {"symbolType": "circle", "symbolSize": 110}
REACH = 3.5  # prior deviations that the axis has on either side, at least


def posterior(rows: pd.DataFrame, dark: bool) -> alt.LayerChart:
    """Error bars of one deviation, by the rank of the latent and, within it, by model.

    `rows`: model, title, rank, dimension, kl, mean, deviation, low, high. The band is
    the prior, one deviation on either side of 0.
    """
    models = rows.drop_duplicates("model").set_index("title")["model"]
    ink, marks = theme.Ink(dark), theme.marks(models.tolist(), dark)
    colours = {title: marks[model].colour for title, model in models.items()}
    shapes = {title: marks[model].shape for title, model in models.items()}
    reach = max(REACH, float(rows[["low", "high"]].abs().max().max()) + 0.2)
    title = "z, in standard deviations of the prior"
    x = scales.values(alt.X, title, ink, domain=[-reach, reach], nice=False)
    axis = alt.Axis(domain=False, ticks=False, labelPadding=8, titleColor=ink.text)
    latent = LATENT_GAP + MARK_HEIGHT * len(models)
    scale = alt.Scale(paddingInner=LATENT_GAP / latent)
    base = alt.Chart(rows).encode(
        y=alt.Y("rank:O", title="latent, by its KL", axis=axis, scale=scale),
        yOffset=alt.YOffset("title:N", sort=list(colours)).scale(domain=list(colours)),
        color=scales.looks(alt.Color, "title", colours, LEGEND),
        tooltip=[
            *scales.tips(title="Model", dimension="Latent"),
            *scales.tips(".2f", kl="Its KL over all images, nats"),
            *scales.tips("+.3f", mean="Mean"),
            *scales.tips(".3f", deviation="Standard deviation"),
        ],
    )
    prior = alt.Chart(pd.DataFrame({"low": [-1.0], "high": [1.0]}))
    layers = [
        prior.mark_rect(color=ink.faint).encode(x=x("low"), x2="high:Q"),
        scales.at_zero(x, ink),
        base.mark_rule(**scales.SPAN).encode(x=x("low"), x2="high:Q"),
        base.mark_point(**scales.dot(ink, 90)).encode(
            x=x("mean"), shape=scales.looks(alt.Shape, "title", shapes, LEGEND)
        ),
    ]
    height = rows["rank"].nunique() * latent + LATENT_GAP + AXIS_HEIGHT
    return scales.finished(layers, height + LEGEND_HEIGHT * len(models))
