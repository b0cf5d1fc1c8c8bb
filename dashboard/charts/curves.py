"""Training curves, of one run or of several lines with a band over their seeds."""

import math

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales
from dashboard.summary import with_unit
from dashboard.text import number

STATISTICS = {"mean": "mean", "least": "min", "most": "max", "n_seeds": "count"}
COLUMNS = ["line", "model", "title", "epoch", *STATISTICS]


def curve(history: pd.DataFrame, term: str, model: str, dark: bool) -> alt.LayerChart:
    """One quantity over the epochs of one run of a model.

    `history` holds `epoch` and `term`; epochs without a finite value are left out.
    """
    y = scales.values(
        alt.Y,
        QUANTITIES[term].unit,
        theme.Ink(dark),
        {"tickCount": 5, "format": ",~r"},
        zero=False,
    )
    epochs = [history["epoch"].min(), history["epoch"].max()]  # the same in all panels
    base = alt.Chart(_finite(history, term)[["epoch", term]])
    base = base.encode(x=_epochs(5, domain=epochs), y=y(term))
    tooltip = scales.tips(epoch="Epoch")
    tooltip += scales.tips(",.2f", **{term: with_unit(term)})
    colour = theme.marks([model], dark)[model].colour
    line = base.mark_line(color=colour, strokeWidth=2)
    head = alt.Title(QUANTITIES[term].title, fontSize=14, anchor="start")
    return scales.finished([line, _targets(base, tooltip)], 270).properties(title=head)


def curve_message(history: pd.DataFrame, term: str) -> str:
    """What a curve shows, in one sentence for its `alt` text."""
    finite = _finite(history, term).sort_values("epoch")
    name, unit = QUANTITIES[term].title, QUANTITIES[term].unit
    if finite.empty:
        return f"{name}: no epoch has a finite value."
    first, last = finite.iloc[0], finite.iloc[-1]
    return (
        f"{name} goes from {number(first[term])} in epoch {first['epoch']:.0f} to "
        f"{number(last[term])} {unit} in epoch {last['epoch']:.0f}."
    )


def over_seeds(history: pd.DataFrame, term: str, **names: str) -> pd.DataFrame:
    """Mean, least and most of a quantity over the seeds of a line by epoch.

    `names` are its line, model and title.
    """
    by_epoch = _finite(history, term).groupby("epoch")[term]
    return by_epoch.agg(**STATISTICS).reset_index().assign(**names)[COLUMNS]


def bands(epochs: pd.DataFrame, term: str, dark: bool) -> alt.LayerChart:
    """The mean of each line over its seeds by epoch, in a band from least to most.

    `epochs` has the columns of `over_seeds`. Lines of one model differ in dashes.
    """
    lines = epochs.drop_duplicates("line").set_index("line")
    marks = theme.line_marks(lines["model"].to_dict(), dark)
    colours = {title: marks[line].colour for line, title in lines["title"].items()}
    dashes = {title: list(marks[line].dash) for line, title in lines["title"].items()}
    y = scales.values(alt.Y, with_unit(term), theme.Ink(dark), zero=False)
    base = alt.Chart(epochs).encode(x=_epochs(6))
    areas = [
        base.transform_filter(alt.datum.line == line)
        .mark_area(opacity=0.22, color=marks[line].colour)
        .encode(y=y("least"), y2="most:Q")
        for line in lines.index
    ]
    means = base.encode(y=y("mean"))
    line = means.mark_line(strokeWidth=2).encode(
        color=scales.looks(alt.Color, "title", colours, scales.LEGEND),
        strokeDash=scales.looks(alt.StrokeDash, "title", dashes, scales.LEGEND),
    )
    tooltip = [
        *scales.tips(title="Model", epoch="Epoch"),
        *scales.tips(",.2f", mean="Mean over seeds", least="Lowest seed"),
        *scales.tips(",.2f", most="Highest seed"),
        *scales.tips(n_seeds="Seeds"),
    ]
    layers = [*areas, line, _targets(means, tooltip)]
    return scales.finished(layers, 360 + 18 * len(lines))


def ends(epochs: pd.DataFrame) -> tuple[pd.Series, pd.Series, int]:
    """The lines whose last mean is lowest and highest, and how many there are."""
    last = epochs.sort_values("epoch").groupby("line", sort=False).last()
    return last.loc[last["mean"].idxmin()], last.loc[last["mean"].idxmax()], len(last)


def _finite(history: pd.DataFrame, term: str) -> pd.DataFrame:
    return history[history[term].abs() < math.inf]


def _epochs(ticks: int, **scale: object) -> alt.X:
    axis = alt.Axis(grid=False, tickMinStep=1, format="d", tickCount=ticks)
    return alt.X("epoch:Q", title="Epoch", axis=axis).scale(nice=False, **scale)


def _targets(base: alt.Chart, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Points that are not seen, but wide enough for a pointer or a finger."""
    look = {"opacity": 0, "size": 160, "filled": True}
    return base.mark_point(**look).encode(tooltip=tooltip)
