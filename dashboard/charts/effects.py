"""Effects with their intervals, around zero."""

import altair as alt
import pandas as pd

from dashboard.charts.scales import fixed_scales, value_axis
from dashboard.theme import Ink, Mark

ROW_HEIGHT = 23
AXIS_HEIGHT = 70
SYMLOG = 0.1  # nats: below it the scale is about linear, above about logarithmic


def effects(
    rows: pd.DataFrame,
    marks: dict[str, Mark],
    ink: Ink,
    *,
    x_title: str,
    wide: bool = False,
    seeds: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Effects and 95% intervals in groups, each below its name.

    `rows`: group (unique), title (of the group), model, part (the name of a row, may
    be empty), effect, low, high, text (of the tooltip), all in nats per image. `seeds`
    has the same group and part with a `value` and a `seed`: a thin tick each. `wide`
    sets a scale on which 0.1 and 50 nats can both be read.
    """
    lines = []
    for _, group in rows.groupby("group", sort=False):
        first = group.iloc[0]
        lines.append(_row_name(first["group"], ""))
        lines += [_row_name(row.group, row.part or " ") for row in group.itertuples()]
    shown = rows.assign(
        row=[_row_name(r.group, r.part or " ") for r in rows.itertuples()]
    )
    heads = rows.drop_duplicates("group")
    heads = heads.assign(row=[_row_name(name, "") for name in heads["group"]])
    models = list(dict.fromkeys(rows["model"]))
    colour, shape = fixed_scales(models, marks)
    labelled = rows["part"].ne("").any()
    axis = alt.Axis(
        labelExpr="split(datum.label, '|')[1]",
        labelColor=ink.muted,
        labelLimit=120,
        domain=False,
        ticks=False,
        labelPadding=8,
    )
    y = alt.Y("row:N", sort=lines, title=None, axis=axis if labelled else None)
    y = y.scale(domain=lines)
    scale = alt.Scale(padding=14, nice=False)
    ticks = {}
    if wide:
        scale = alt.Scale(type="symlog", constant=SYMLOG, padding=14, nice=False)
        ticks = {"values": [-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100]}
    extent = rows[["effect", "low", "high"]].assign(zero=0.0)
    scale.domain = [float(extent.min().min()), float(extent.max().max())]
    if scale.domain[0] == scale.domain[1]:
        scale.domain = [-1.0, 1.0]
    if seeds is not None and len(seeds):
        scale.domain = [
            min(scale.domain[0], float(seeds["value"].min())),
            max(scale.domain[1], float(seeds["value"].max())),
        ]
    x_axis = value_axis(ink)
    if ticks:
        x_axis.values = ticks["values"]
        x_axis.format = "~g"

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=x_title, scale=scale, axis=x_axis)

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
    title = {"align": "left", "baseline": "middle", "fontSize": 13, "dy": 3}
    named = alt.Chart(heads).encode(x=alt.value(0), y=y, text="title:N")
    halo = named.mark_text(**title, stroke=ink.paper, strokeWidth=5, color=ink.paper)
    names = named.mark_text(**title, color=ink.text)
    base = alt.Chart(shown).encode(y=y)
    spans = (
        base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=2.5, strokeCap="round")
        .encode(x=x("low"), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = (
        base.transform_filter("isValid(datum.effect)")
        .mark_point(
            filled=True, size=110, opacity=1, stroke=ink.outline, strokeWidth=0.8
        )
        .encode(x=x("effect"), color=colour, shape=shape, tooltip=tooltip)
    )
    layers = [zero, halo, names, spans, dots]
    if seeds is not None and len(seeds):
        each = seeds.assign(
            row=[_row_name(r.group, r.part or " ") for r in seeds.itertuples()]
        )
        layers.append(
            alt.Chart(each)
            .mark_tick(color=ink.muted, thickness=1.6, size=15)
            .encode(
                y=y,
                x=x("value"),
                tooltip=[
                    alt.Tooltip("seed:Q", title="Seed"),
                    alt.Tooltip("value:Q", title="Difference", format="+,.3f"),
                ],
            )
        )
    height = ROW_HEIGHT * len(lines) + AXIS_HEIGHT
    return alt.layer(*layers).properties(height=height).configure_view(strokeWidth=0)


def _row_name(group: str, part: str) -> str:
    return f"{group.replace('|', '/')}|{part.replace('|', '/')}"
