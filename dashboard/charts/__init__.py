"""Charts: each function takes a table and gives one Altair chart, without Streamlit.

One file per kind: means with intervals, training curves, effects with intervals, the
stack of gaps, quantiles over images, images of two models against each other, rows of
small images, and posteriors.
"""

from dashboard.charts.curves import (
    TERM_TITLES,
    TERM_UNITS,
    bands,
    curve,
    curve_message,
)
from dashboard.charts.effects import effects
from dashboard.charts.images import against
from dashboard.charts.means import intervals
from dashboard.charts.posterior import posterior
from dashboard.charts.quantiles import quantiles
from dashboard.charts.stack import stack
from dashboard.charts.tiles import gallery, steps

__all__ = [
    "TERM_TITLES",
    "TERM_UNITS",
    "against",
    "bands",
    "curve",
    "curve_message",
    "effects",
    "gallery",
    "intervals",
    "posterior",
    "quantiles",
    "stack",
    "steps",
]
