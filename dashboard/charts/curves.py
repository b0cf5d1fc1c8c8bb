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
    ink = theme.ink(dark)
    finite = history[history[term].abs() < math.inf][["epoch", term]]
    epochs = [history["epoch"].min(), history["epoch"].max()]  # the same in all panels
    title, unit = QUANTITIES[term].title, QUANTITIES[term].unit
    base = alt.Chart(finite).encode(
        x=_epochs(tickCount=5).scale(nice=False, domain=epochs),
        y=alt.Y(
            f"{term}:Q",
            title=unit,
            scale=alt.Scale(zero=False),
            axis=scales.value_axis(ink, tickCount=5, format=",~r"),
        ),
        tooltip=[
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip(f"{term}:Q", title=with_unit(term), format=",.2f"),
        ],
    )
    colour = theme.marks([model], dark)[model].colour
    line = base.mark_line(color=colour, strokeWidth=2)
    # invisible, but wide enough to be met by a pointer or a finger
    targets = base.mark_point(opacity=0, size=160, filled=True)
    head = alt.Title(title, fontSize=14, anchor="start")
    return scales.finished([line, targets], 270).properties(title=head)


def curve_message(history: pd.DataFrame, term: str) -> str:
    """What a curve shows, in one sentence for its `alt` text."""
    finite = history[history[term].abs() < math.inf].sort_values("epoch")
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
    finite = history[history[term].abs() < math.inf]
    rows = finite.groupby("epoch")[term].agg(**STATISTICS).reset_index()
    return rows.assign(**names)[COLUMNS]


def bands(epochs: pd.DataFrame, term: str, dark: bool) -> alt.LayerChart:
    """The mean of each line over its seeds by epoch, in a band from least to most.

    `epochs` has the columns of `over_seeds`. Lines of one model differ in dashes.
    """
    ink = theme.ink(dark)
    lines = epochs.drop_duplicates("line").set_index("line")
    marks = theme.line_marks(lines["model"].to_dict(), dark)
    legend = alt.Legend(**scales.LEGEND)
    titles = lines["title"].tolist()
    colour = alt.Color("title:N", legend=legend).scale(
        domain=titles, range=[marks[line].colour for line in lines.index]
    )
    dash = alt.StrokeDash("title:N", legend=legend).scale(
        domain=titles, range=[list(marks[line].dash) for line in lines.index]
    )
    base = alt.Chart(epochs).encode(x=_epochs(tickCount=6).scale(nice=False))
    y = {
        "title": with_unit(term),
        "scale": alt.Scale(zero=False),
        "axis": scales.value_axis(ink),
    }
    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("mean:Q", title="Mean over seeds", format=",.2f"),
        alt.Tooltip("least:Q", title="Lowest seed", format=",.2f"),
        alt.Tooltip("most:Q", title="Highest seed", format=",.2f"),
        alt.Tooltip("n_seeds:Q", title="Seeds"),
    ]
    areas = [
        base.transform_filter(alt.datum.line == line)
        .mark_area(opacity=0.22, color=marks[line].colour)
        .encode(y=alt.Y("least:Q", **y), y2="most:Q")
        for line in lines.index
    ]
    mean = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("mean:Q", **y), color=colour, strokeDash=dash
    )
    targets = base.mark_point(opacity=0, size=90, filled=True).encode(
        y=alt.Y("mean:Q", **y), tooltip=tooltip
    )
    return scales.finished([*areas, mean, targets], 360 + 18 * len(titles))


def ends(epochs: pd.DataFrame) -> tuple[pd.Series, pd.Series, int]:
    """The lines whose last mean is lowest and highest, and how many there are."""
    last = epochs.sort_values("epoch").groupby("line", sort=False).last()
    return last.loc[last["mean"].idxmin()], last.loc[last["mean"].idxmax()], len(last)


def _epochs(**axis: int) -> alt.X:
    shown = alt.Axis(grid=False, tickMinStep=1, format="d", **axis)
    return alt.X("epoch:Q", title="Epoch", axis=shown)
