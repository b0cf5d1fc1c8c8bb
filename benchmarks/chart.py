"""The chart of the results: every contestant's time, from the CSV alone."""

from pathlib import Path

import altair as alt
import pandas as pd

CONTESTANTS = ("comvae", "plain PyTorch", "pythae", "floor")
COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#5B6470")
SHAPES = ("circle", "square", "triangle-up", "stroke")


def times(frame: pd.DataFrame) -> pd.DataFrame:
    """Long form: one row per (row of the CSV, contestant), with its milliseconds."""
    ours = frame["ms_per_step_per_seed"]
    by_contestant = {
        "comvae": ours,
        "plain PyTorch": ours * frame["ratio_plain"],
        "pythae": ours * frame["ratio_pythae"],
        "floor": ours / frame["ratio_floor"],
    }
    block = frame["seeds"].map(lambda seeds: f"{seeds} seed" + "s" * (seeds > 1))
    where = frame["dataset"] + ", " + frame["device"] + ", " + block
    parts = [
        frame[["model"]].assign(where=where, contestant=name, milliseconds=values)
        for name, values in by_contestant.items()
    ]
    return pd.concat(parts).dropna(subset="milliseconds")


def chart(frame: pd.DataFrame) -> alt.FacetChart:
    """Milliseconds per step and seed of each contestant, a panel per block."""
    order = list(dict.fromkeys(frame["model"]))
    of_contestant = {"domain": CONTESTANTS}
    return (
        alt.Chart(times(frame), width=420, height=alt.Step(24))
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("milliseconds:Q")
            .scale(type="log")
            .title("milliseconds per step and seed (log scale)"),
            y=alt.Y("model:N").sort(order).title(None),
            color=alt.Color("contestant:N")
            .scale(**of_contestant, range=COLOURS)
            .title(None),
            shape=alt.Shape("contestant:N")
            .scale(**of_contestant, range=SHAPES)
            .title(None),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("where:N", title="block"),
                alt.Tooltip("contestant:N"),
                alt.Tooltip("milliseconds:Q", format=".3~g", title="ms per step, seed"),
            ],
        )
        .facet(
            row=alt.Row("where:N").title(None).header(labelAngle=0, labelOrient="top")
        )
        .resolve_scale(y="independent")
        .properties(
            title="Time of a training step: comvae and its peers; left is faster",
            description=description(frame),
        )
    )


def description(frame: pd.DataFrame) -> str:
    """What the chart shows, in words."""
    faster = frame["ratio_plain"]
    return (
        "Points on a log scale: milliseconds per training step and seed of comvae, a "
        "plain PyTorch loop, pythae and the floor of the hardware, for "
        f"{len(frame)} blocks. comvae is {faster.min():.2g} to {faster.max():.2g} "
        "times as fast as the plain loop."
    )


def write(csv: Path) -> list[Path]:
    """Write the chart beside its CSV: a page, and its Vega-Lite specification."""
    drawn = chart(pd.read_csv(csv))
    paths = [csv.with_suffix(".html"), csv.with_suffix(".vl.json")]
    for path in paths:
        drawn.save(path, format="html" if path.suffix == ".html" else "json")
    return paths
