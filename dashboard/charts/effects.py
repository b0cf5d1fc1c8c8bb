"""Effects with their intervals, around zero."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard import theme
from dashboard.charts import scales
from dashboard.text import effect_text
from dashboard.theme import Ink, Mark

ROW_HEIGHT = 23
AXIS_HEIGHT = 70
SYMLOG = 0.1  # nats: below it the scale is about linear, above about logarithmic
TICKS = [-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100]  # of the wide scale


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
    x_title: str,
    wide: bool = False,
    seeds: pd.DataFrame | None = None,
    marks: dict[str, Mark] | None = None,
) -> alt.LayerChart:
    """Effects and 95% intervals in groups, each below its name.

    `rows`: group (unique), title (of the group), model, part (the name of a row, may
    be empty), effect, low, high, text (of the tooltip), all in nats per image. `seeds`
    has the same group and part with a `value` and a `seed`: a thin tick each. `wide`
    sets a scale on which 0.1 and 50 nats can both be read. `marks` are by the column
    `model`, those of the models unless given.
    """
    ink = theme.ink(dark)
    models = list(dict.fromkeys(rows["model"]))
    colour, shape = scales.mark_scales(models, marks or theme.marks(models, dark))
    shown = rows.assign(row=_row_names(rows))
    heads = rows.drop_duplicates("group")
    heads = heads.assign(row=[_row_name(group, "") for group in heads["group"]])
    lines = []
    for head in heads.itertuples():
        lines += [head.row, *shown.loc[shown["group"] == head.group, "row"]]
    axis = alt.Axis(
        labelExpr="split(datum.label, '|')[1]",
        labelColor=ink.muted,
        labelLimit=120,
        domain=False,
        ticks=False,
        labelPadding=8,
    )
    labelled = rows["part"].ne("").any()
    y = alt.Y("row:N", sort=lines, title=None, axis=axis if labelled else None)
    y = y.scale(domain=lines)
    scale, x_axis = _scale(rows, seeds, wide), scales.value_axis(ink)
    if wide:
        x_axis.values, x_axis.format = TICKS, "~g"
    x = scales.along_x(x_title, scale, x_axis)
    tooltip = [
        alt.Tooltip("title:N", title="What"),
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("text:N", title="Effect and 95% interval, nats per image"),
    ]
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]}))
        .mark_rule(color=ink.muted, strokeWidth=1.2)
        .encode(x=x("zero"))
    )
    base = alt.Chart(shown).encode(y=y)
    spans = (
        base.transform_filter(scales.HAS_INTERVAL)
        .mark_rule(**scales.SPAN)
        .encode(x=x("low"), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = (
        base.transform_filter("isValid(datum.effect)")
        .mark_point(**scales.dot(ink, 110))
        .encode(x=x("effect"), color=colour, shape=shape, tooltip=tooltip)
    )
    layers = [zero, *_names(heads, y, ink), spans, dots]
    if seeds is not None and len(seeds):
        each = alt.Chart(seeds.assign(row=_row_names(seeds)))
        by_seed = [
            alt.Tooltip("seed:Q", title="Seed"),
            alt.Tooltip("value:Q", title="Difference", format="+,.3f"),
        ]
        ticks = each.mark_tick(color=ink.muted, thickness=1.6, size=15)
        layers.append(ticks.encode(y=y, x=x("value"), tooltip=by_seed))
    return scales.finished(layers, ROW_HEIGHT * len(lines) + AXIS_HEIGHT)


def _scale(rows: pd.DataFrame, seeds: pd.DataFrame | None, wide: bool) -> alt.Scale:
    """From the lowest to the highest of what is drawn, and of 0."""
    values = [rows[name] for name in ("effect", "low", "high")]
    if seeds is not None:
        values.append(seeds["value"])
    drawn = pd.concat([*values, pd.Series([0.0])]).astype(float)
    domain = [float(drawn.min()), float(drawn.max())]
    if domain[0] == domain[1]:
        domain = [-1.0, 1.0]
    kind = {"type": "symlog", "constant": SYMLOG} if wide else {}
    return alt.Scale(padding=14, nice=False, domain=domain, **kind)


def _names(heads: pd.DataFrame, y: alt.Y, ink: Ink) -> list[alt.Chart]:
    """The names of the groups, before a halo that keeps lines away from them."""
    look = {"align": "left", "baseline": "middle", "fontSize": 13, "dy": 3}
    named = alt.Chart(heads).encode(x=alt.value(0), y=y, text="title:N")
    halo = named.mark_text(**look, stroke=ink.paper, strokeWidth=5, color=ink.paper)
    return [halo, named.mark_text(**look, color=ink.text)]


def _row_names(rows: pd.DataFrame) -> list[str]:
    return [_row_name(row.group, row.part or " ") for row in rows.itertuples()]


def _row_name(group: str, part: str) -> str:
    return f"{group.replace('|', '/')}|{part.replace('|', '/')}"
