"""q(z given x) of one image: mean and deviation of every latent, beside the prior."""

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales

MARK_HEIGHT = 15  # of one model
LATENT_GAP = 12  # between latents
AXIS_HEIGHT = 70  # tick labels and title
LEGEND_HEIGHT = 26  # of one model
REACH = 3.5  # prior deviations that the axis has on either side, at least


def posterior(rows: pd.DataFrame, dark: bool) -> alt.LayerChart:
    """Error bars of one deviation, by the rank of the latent and, within it, by model.

    `rows`: model, title, rank, dimension, kl, mean, deviation, low, high. The band is
    the prior, one deviation on either side of 0.
    """
    titles = dict(zip(rows["model"], rows["title"], strict=True))
    ink, marks = theme.ink(dark), theme.marks(list(titles), dark)
    legend = alt.Legend(**scales.LEGEND | {"symbolType": "circle", "symbolSize": 110})
    shown = list(titles.values())
    colour = alt.Color("title:N", legend=legend).scale(
        domain=shown, range=[marks[model].colour for model in titles]
    )
    shape = alt.Shape("title:N", legend=legend).scale(
        domain=shown, range=[marks[model].shape for model in titles]
    )
    reach = max(REACH, float(rows[["low", "high"]].abs().max().max()) + 0.2)
    x_title = "z, in standard deviations of the prior"
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    x = scales.along_x(x_title, scale, scales.value_axis(ink))
    axis = alt.Axis(domain=False, ticks=False, labelPadding=8, titleColor=ink.text)
    y = alt.Y("rank:O", title="latent, by its KL", axis=axis)
    y = y.scale(paddingInner=LATENT_GAP / (LATENT_GAP + MARK_HEIGHT * len(titles)))
    offset = alt.YOffset("title:N", sort=shown).scale(domain=shown)
    prior = pd.DataFrame({"low": [-1.0], "high": [1.0], "zero": [0.0]})
    band = alt.Chart(prior).mark_rect(color=ink.faint).encode(x=x("low"), x2="high:Q")
    zero = (
        alt.Chart(prior).mark_rule(color=ink.muted, strokeWidth=1.2).encode(x=x("zero"))
    )
    base = alt.Chart(rows).encode(
        y=y,
        yOffset=offset,
        color=colour,
        tooltip=[
            alt.Tooltip("title:N", title="Model"),
            alt.Tooltip("dimension:Q", title="Latent"),
            alt.Tooltip("kl:Q", title="Its KL over all images, nats", format=".2f"),
            alt.Tooltip("mean:Q", title="Mean", format="+.3f"),
            alt.Tooltip("deviation:Q", title="Standard deviation", format=".3f"),
        ],
    )
    bars = base.mark_rule(**scales.SPAN).encode(x=x("low"), x2="high:Q")
    dots = base.mark_point(**scales.dot(ink, 90)).encode(x=x("mean"), shape=shape)
    latents = rows["rank"].nunique()
    height = latents * (LATENT_GAP + MARK_HEIGHT * len(titles)) + LATENT_GAP
    height += AXIS_HEIGHT + LEGEND_HEIGHT * len(titles)
    return scales.finished([band, zero, bars, dots], height)
