"""Effects with their intervals, around zero."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales
from dashboard.text import effect_text
from dashboard.theme import Mark

ROW_HEIGHT = 18
AXIS_HEIGHT = 84
# below 0.1 nats the wide scale is about linear, above about logarithmic
WIDE = {"type": "symlog", "constant": 0.1}
WIDE_AXIS = {"values": [-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100], "format": "~g"}


def effect_row(
    group: str, title: str, model: str, found: Mapping[str, Any], part: str = ""
) -> dict[str, Any]:
    """A row of the chart, from what has effect, ci_low and ci_high."""
    effect, low, high = (float(found[name]) for name in ("effect", "ci_low", "ci_high"))
    names = {"group": group, "title": title, "model": model, "part": part}
    text = effect_text(effect, low, high)
    return names | {"effect": effect, "low": low, "high": high, "text": text}


def effects(
    rows: pd.DataFrame,
    dark: bool,
    *,
    x_title: str | list[str],
    wide: bool = False,
    marks: dict[str, Mark] | None = None,
) -> alt.LayerChart:
    """Effects and 95% intervals in groups, each below its name.

    `rows`: group (unique), title (of the group), model, part (the name of a row, may
    be empty), effect, low, high, text (of the tooltip), all in nats per image. What
    columns `seed_<s>` hold is a thin tick each. `wide`
    sets a scale on which 0.1 and 50 nats can both be read. `marks` are by the column
    `model`, those of the models unless given.
    """
    ink = theme.Ink(dark)
    shown = rows.assign(row=rows["part"].replace("", " ") + "|" + rows["group"])
    lines = []
    for group, here in shown.groupby("group", sort=False):
        lines += [f"|{group}", *here["row"]]
    axis = alt.Axis(
        labelExpr="split(datum.label, '|')[0]",
        labelColor=ink.muted,
        labelLimit=130,
        domain=False,
        ticks=False,
        labelPadding=8,
    )
    labelled = rows["part"].ne("").any()
    y = alt.Y("row:N", sort=lines, title=None, axis=axis if labelled else None)
    y = y.scale(domain=lines)
    scale = {"padding": 14, "nice": False} | (WIDE if wide else {})
    x = scales.values(alt.X, x_title, ink, WIDE_AXIS if wide else None, **scale)
    colour, shape = scales.mark_scales(rows["model"].unique().tolist(), dark, marks)
    tooltip = scales.tips(
        title="What", part="Part", text="Effect and 95% interval, nats per image"
    )
    base = alt.Chart(shown).encode(y=y, color=colour, tooltip=tooltip)
    heads = alt.Chart(rows.drop_duplicates("group").assign(row="|" + rows["group"]))
    heads = heads.encode(x=alt.value(0), y=y, text="title:N")
    look = {"align": "left", "baseline": "middle", "fontSize": 13, "dy": 3}
    layers = [
        scales.at_zero(x, ink),
        # a halo keeps lines away from the names
        heads.mark_text(**look, stroke=ink.paper, strokeWidth=5, color=ink.paper),
        heads.mark_text(**look, color=ink.text),
        base.mark_rule(**scales.SPAN).encode(x=x("low"), x2="high:Q"),
        base.mark_point(**scales.dot(ink, 110)).encode(x=x("effect"), shape=shape),
    ]
    by_seed = [name for name in shown if name.startswith("seed_")]
    if by_seed:
        ticks = base.transform_fold(by_seed, ["seed", "value"]).encode(
            x=x("value"),
            color=alt.value(ink.muted),
            tooltip=scales.tips(seed="Seed") + scales.tips("+,.3f", value="Difference"),
        )
        layers.append(ticks.mark_tick(thickness=1.6, size=15))
    return scales.finished(layers, ROW_HEIGHT * len(lines) + AXIS_HEIGHT)
