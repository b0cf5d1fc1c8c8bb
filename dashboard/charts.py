"""Charts: each function takes a table and gives one Altair chart, without Streamlit."""

import math

import altair as alt
import pandas as pd

from dashboard.summary import LOWER_IS_BETTER, METRICS, number, ours_text, seeds_text
from dashboard.summary import signed as signed_text
from dashboard.theme import PAPER_SHAPE, Ink, Mark

ROW_HEIGHT = 52  # pixels: a line of text above a mark
AXIS_HEIGHT = 84  # pixels: tick labels and title
TERM_TITLES = METRICS | {"weight_kl": "Weight KL"}
TERM_UNITS = dict.fromkeys(METRICS, "nats per image") | {"weight_kl": "nats"}


def intervals(
    rows: pd.DataFrame, metric: str, marks: dict[str, Mark], ink: Ink
) -> alt.LayerChart:
    """Mean and 95% interval per model, the paper's value as a hollow diamond.

    `rows` are those of `summary.metric_rows`. A model without a result keeps its row,
    which says why it is empty. Names stand above their marks, so that the chart can be
    read on a phone and needs no legend.
    """
    shown = rows.assign(
        label=[_label(row) for row in rows.itertuples()],
        ours_text=[ours_text(row) for row in rows.itertuples()],
        seeds_text=[seeds_text(row) for row in rows.itertuples()],
        paper_text=rows["paper"].map(number),
        difference_text=rows["difference"].map(signed_text),
    ).replace([math.inf, -math.inf], math.nan)
    order = shown["model"].tolist()
    colour = alt.Color("model:N", legend=None).scale(
        domain=order, range=[marks[model].colour for model in order]
    )
    shape = alt.Shape("model:N", legend=None).scale(
        domain=order, range=[marks[model].shape for model in order]
    )
    better = " (lower is better)" if metric in LOWER_IS_BETTER else ""

    def x(field: str) -> alt.X:
        return alt.X(
            f"{field}:Q",
            title=f"{METRICS[metric]}, nats per image{better}",
            scale=alt.Scale(zero=False, nice=False, padding=14),
            axis=alt.Axis(gridColor=ink.grid, tickCount=6, domain=False, ticks=False),
        )

    tooltip = [
        alt.Tooltip("title:N", title="Model"),
        alt.Tooltip("ours_text:N", title="Ours, mean and 95% interval"),
        alt.Tooltip("seeds_text:N", title="Seeds"),
        alt.Tooltip("paper_text:N", title="Paper"),
        alt.Tooltip("difference_text:N", title="Ours minus paper"),
    ]
    base = alt.Chart(shown).encode(
        y=alt.Y("model:N", sort=order, axis=None, scale=alt.Scale(paddingOuter=0.1))
    )
    labels = base.mark_text(
        align="left", baseline="bottom", dy=-4, fontSize=13, color=ink.text
    ).encode(x=alt.value(0), text="label:N")
    finished = base.transform_filter("isValid(datum.mean)")
    lines = (
        finished.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=2.5, strokeCap="round", yOffset=10)
        .encode(x=x("low"), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = finished.mark_point(
        filled=True,
        size=140,
        opacity=1,
        stroke=ink.outline,
        strokeWidth=0.8,
        yOffset=10,
    ).encode(x=x("mean"), color=colour, shape=shape, tooltip=tooltip)
    layers = [labels, lines, dots]
    if shown["paper"].notna().any():
        diamonds = (
            base.transform_filter("isValid(datum.paper)")
            .mark_point(
                filled=False, size=120, shape=PAPER_SHAPE, strokeWidth=1.8, yOffset=10
            )
            .encode(x=x("paper"), stroke=alt.value(ink.text), tooltip=tooltip)
        )
        layers.append(diamonds)
    chart = alt.layer(*layers).properties(height=ROW_HEIGHT * len(order) + AXIS_HEIGHT)
    return chart.configure_view(strokeWidth=0)


def _label(row) -> str:
    return f"{row.title}  ({row.note})" if row.note else row.title


def curve(history: pd.DataFrame, term: str, mark: Mark, ink: Ink) -> alt.LayerChart:
    """One term of the objective over the epochs of one run.

    `history` holds `epoch` and `term`; epochs without a finite value are left out.
    """
    finite = history[history[term].abs() < math.inf][["epoch", term]]
    epochs = [history["epoch"].min(), history["epoch"].max()]  # the same in all panels
    title = TERM_TITLES[term]
    base = alt.Chart(finite).encode(
        x=alt.X(
            "epoch:Q",
            title="Epoch",
            scale=alt.Scale(nice=False, domain=epochs),
            axis=alt.Axis(grid=False, tickMinStep=1, tickCount=5, format="d"),
        ),
        y=alt.Y(
            f"{term}:Q",
            title=TERM_UNITS[term],
            scale=alt.Scale(zero=False),
            axis=alt.Axis(
                gridColor=ink.grid,
                tickCount=5,
                domain=False,
                ticks=False,
                format=",~r",
            ),
        ),
        tooltip=[
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip(
                f"{term}:Q", title=f"{title}, {TERM_UNITS[term]}", format=",.2f"
            ),
        ],
    )
    line = base.mark_line(color=mark.colour, strokeWidth=2)
    # invisible, but wide enough to be met by a pointer or a finger
    targets = base.mark_point(opacity=0, size=160, filled=True)
    return (
        alt.layer(line, targets)
        .properties(height=270, title=alt.Title(title, fontSize=14, anchor="start"))
        .configure_view(strokeWidth=0)
    )


def curve_message(history: pd.DataFrame, term: str) -> str:
    """What a curve shows, in one sentence for its `alt` text."""
    finite = history[history[term].abs() < math.inf].sort_values("epoch")
    name, unit = TERM_TITLES[term], TERM_UNITS[term]
    if finite.empty:
        return f"{name}: no epoch has a finite value."
    first, last = finite.iloc[0], finite.iloc[-1]
    return (
        f"{name} goes from {number(first[term])} in epoch {first['epoch']:.0f} to "
        f"{number(last[term])} {unit} in epoch {last['epoch']:.0f}."
    )
