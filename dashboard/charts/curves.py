"""Training curves: lines with their seeds."""

import math
from collections.abc import Iterable

import altair as alt
import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import theme
from dashboard.charts import scales
from dashboard.summary import with_unit
from dashboard.text import number

COLUMNS = ["line", "model", "title", "epoch", "seed", "value"]
LATE = 0.8  # of the epochs, the last ones, whose values give the axis its range


History = tuple[str, str, str, pd.DataFrame]  # line, model, title and table


def by_seed(histories: Iterable[History], term: str) -> pd.DataFrame:
    """A quantity by epoch and seed; histories of one line are of other seeds."""
    tables = [pd.DataFrame(columns=COLUMNS)]
    for line, model, title, history in histories:
        if term in history:
            finite = history[history[term].abs() < math.inf]
            names = {"line": line, "model": model, "title": title}
            tables.append(finite.rename(columns={term: "value"}).assign(**names))
    return pd.concat(tables[1:] or tables, ignore_index=True)[COLUMNS]


def lines(
    epochs: pd.DataFrame, term: str, dark: bool, log: bool = False
) -> alt.LayerChart:
    """The mean of each line over its seeds by epoch, and every seed as a thin line.

    `epochs` has the columns of `by_seed`. Lines of one model differ in dashes. A click
    in the legend leaves one line; what is nearest to the pointer tells its numbers.
    """
    of_line = epochs.drop_duplicates("line").set_index("line")
    marks = theme.line_marks(of_line["model"].to_dict(), dark)
    colours = {title: marks[line].colour for line, title in of_line["title"].items()}
    dashes = {title: list(marks[line].dash) for line, title in of_line["title"].items()}
    domain = _late(epochs)
    scale = {"type": "log"} if log and domain[0] > 0 else {"zero": False}
    scale |= {"domain": domain, "nice": False}
    y = scales.values(alt.Y, with_unit(term), theme.Ink(dark), **scale)
    picked = alt.selection_point(name="picked", fields=["title"], bind="legend")
    near = alt.selection_point(
        name="near", on="pointerover", nearest=True, clear="pointerout", empty=False
    )
    held = "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!"
    zoom = alt.selection_interval(
        name="zoom", bind="scales", zoom="wheel![event.shiftKey]", translate=held
    )
    axis = alt.Axis(grid=False, tickMinStep=1, format="d", tickCount=6)
    base = alt.Chart(epochs).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=axis).scale(nice=False),
        color=scales.looks(alt.Color, "title", colours, scales.LEGEND),
        strokeDash=scales.looks(alt.StrokeDash, "title", dashes, scales.LEGEND),
    )
    seeds = base.mark_line(strokeWidth=0.8, clip=True).encode(
        y=y("value"),
        detail="seed:N",
        opacity=alt.when(picked).then(alt.value(0.4)).otherwise(alt.value(0.04)),
    )
    means = base.transform_aggregate(
        mean="mean(value)",
        least="min(value)",
        most="max(value)",
        n_seeds="count()",
        groupby=["title", "epoch"],
    ).encode(y=y("mean"))
    line = means.mark_line(strokeWidth=2.2, clip=True).encode(
        opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.1))
    )
    tooltip = [
        *scales.tips(title="Model", epoch="Epoch"),
        *scales.tips(",.2f", mean="Mean over seeds", least="Lowest seed"),
        *scales.tips(",.2f", most="Highest seed"),
        *scales.tips(n_seeds="Seeds"),
    ]
    points = means.mark_point(filled=True, size=70, clip=True).encode(
        tooltip=tooltip,
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0)),
    )
    layers = [seeds, line.add_params(picked, zoom), points.add_params(near)]
    return scales.finished(layers, 360 + 18 * len(of_line))


def ends(epochs: pd.DataFrame) -> tuple[pd.Series, pd.Series, int]:
    """The lines whose last mean is lowest and highest, and how many there are."""
    means = epochs.groupby(["line", "title", "epoch"], sort=False)["value"].mean()
    by_epoch = means.rename("mean").reset_index().sort_values("epoch")
    last = by_epoch.groupby("line", sort=False).last()
    return last.loc[last["mean"].idxmin()], last.loc[last["mean"].idxmax()], len(last)


def message(epochs: pd.DataFrame, term: str) -> str:
    """Where the lines are at their ends, in one sentence."""
    best, worst, count = ends(epochs)

    def at(row: pd.Series) -> str:
        return f"{number(row['mean'])} after epoch {row['epoch']:.0f}"

    name = QUANTITIES[term].title
    if count == 1:
        return f"{name} of {best['title']} is {at(best)}."
    return (
        f"{name} is lowest for {best['title']}, {at(best)}, and highest for "
        f"{worst['title']}, {at(worst)}."
    )


def _late(epochs: pd.DataFrame) -> list[float]:
    """The range of the last LATE of the epochs; the first ones may leave it."""
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    late = epochs.loc[epochs["epoch"] >= last - LATE * (last - first), "value"]
    low, high = float(late.min()), float(late.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - min(room, 0.5 * low) if low > 0 else low - room, high + room]
