"""Models beside each other: curves, paired differences, images."""

from collections.abc import Sequence
from functools import partial

import altair as alt
import pandas as pd

from dashboard import charts, comparison, decomposition, summary, theme
from dashboard.differences import RULE
from dashboard.runs import Run
from dashboard.sections.blocks import (
    Block,
    Caption,
    Chart,
    Charts,
    Download,
    Notice,
    Table,
    Text,
)
from dashboard.study import Study

SPLITS = {"test": "Test", "train": "Train"}
HOW_SURE = Caption(f"How sure is it: {RULE}")


def curves(
    chosen: Sequence[Run], study: Study, models: Sequence[str], term: str
) -> list[Block]:
    """One term of the objective over the epochs of all chosen runs."""
    epochs, problems = comparison.epochs(chosen, study, term)
    notices: list[Block] = [Notice(problem, warning=True) for problem in problems]
    if epochs.empty:
        return [*notices, Text("None of these models has a training history yet.")]
    message = comparison.curves_message(epochs, charts.TERM_TITLES[term])
    order = [model for model in models if model in set(epochs["model"])]
    epochs = epochs.sort_values("model", key=lambda column: column.map(order.index))
    caption = (
        "How to read it: the line is the mean over seeds, the band reaches from the "
        "lowest seed to the highest. Averages over each epoch while training, with "
        "weights and batch norm in training mode."
    )
    draw = partial(_draw_curves, epochs, term, order)
    return [
        *notices,
        Text(message),
        Chart(f"curves-{term}", draw, message),
        Caption(caption),
        Download("curves.csv", epochs.to_csv(index=False).encode()),
    ]


def _draw_curves(
    epochs: pd.DataFrame, term: str, order: list[str], dark: bool
) -> alt.LayerChart:
    return charts.bands(epochs, term, theme.marks(order, dark), theme.ink(dark))


def differences(
    table: pd.DataFrame,
    study: Study,
    view: tuple[str, str, str],
    models: Sequence[str],
) -> list[Block]:
    """Every model minus the first; `view` is dataset, split and metric."""
    metric = view[2]
    rows, seeds = comparison.differences(table, study, view, models)
    notices: list[Block] = []
    absent = rows.loc[rows["effect"].isna(), "model"]
    if len(absent):
        names = "; ".join(study.title(model) for model in absent)
        text = f"No seed in common with the first model here: {names}."
        notices = [Notice(text, warning=True)]
    found = rows.dropna(subset="effect")
    if found.empty:
        text = "No seed has this quantity under the first model and another one."
        return [*notices, Text(text)]
    name = comparison.METRICS[metric]
    message = _message(found, study.title(models[0]), name)
    caption = (
        "How to read it: each thin tick is one seed's difference, the mark their mean, "
        "the line its 95% interval. "
    )
    if metric != "latent_kl":
        sense = "positive" if metric in ("log_px", "elbo") else "negative"
        caption += f"A {sense} difference is better than the first model. "
    return [
        *notices,
        Text(message),
        Chart(
            f"differences-{metric}",
            partial(_draw_differences, found, seeds, name),
            message,
        ),
        Caption(caption.strip()),
        Table(difference_table(found), f"Paired differences of {len(found)} models."),
        Download("differences.csv", _csv(found, seeds)),
    ]


def _draw_differences(
    found: pd.DataFrame, seeds: pd.DataFrame, name: str, dark: bool
) -> alt.LayerChart:
    return charts.effects(
        found,
        theme.marks(found["model"].tolist(), dark),
        theme.ink(dark),
        x_title=f"Difference in {name}, nats per image",
        seeds=seeds,
    )


def _message(found: pd.DataFrame, first: str, name: str) -> str:
    real = found[found["verdict"].str.startswith("clearly")]
    return (
        f"{len(real)} of {len(found)} differences to {first} in {name} are clearly "
        "different from 0."
    )


def difference_table(found: pd.DataFrame) -> pd.DataFrame:
    """The differences as text."""
    return pd.DataFrame(
        {
            "Difference": found["title"].tolist(),
            "Mean and 95% interval": found["text"].tolist(),
            "Seeds": [summary.number(n, 0) for n in found["n_seeds"]],
            "Which is": found["verdict"].tolist(),
        }
    )


def _csv(found: pd.DataFrame, seeds: pd.DataFrame) -> bytes:
    kept = found[["model", "effect", "low", "high", "n_seeds", "verdict"]]
    wide = seeds.pivot(index="group", columns="seed", values="value")
    wide = wide.rename(columns=lambda seed: f"seed_{seed:.0f}")
    return (
        kept.merge(wide, left_on="model", right_index=True, how="left")
        .to_csv(index=False)
        .encode()
    )


def images(
    chosen: Sequence[Run],
    study: Study,
    models: Sequence[str],
    split: str,
    gap: str,
    *,
    at_most: int | None = None,
) -> list[Block]:
    """A gap of each image under the first model and under others, `at_most` so many."""
    by_image, problems = comparison.image_gaps(chosen, split, gap)
    notices: list[Block] = [Notice(problem, warning=True) for problem in problems]
    first = models[0]
    others = [model for model in models[1:] if model in by_image]
    if first not in by_image or not others:
        text = (
            f"No image has this gap under {study.title(first)} and another of these "
            "models: their gaps are not measured yet, or not on the same images."
        )
        return [*notices, Text(text)]
    drawn = [
        _scatter(by_image[[first, model]], study, split, gap)
        for model in others[:at_most]
    ]
    text = (
        "How to read it: each point is one image, its gap averaged over the seeds of "
        "each model. Above the dashed line the gap is wider than under the first model."
    )
    if len(others) > len(drawn):
        text += f" Only the first {len(drawn)} of {len(others)} models are drawn."
    content = by_image[[first, *others]].to_csv().encode()
    return [*notices, Charts(drawn), Caption(text), Download("image-gaps.csv", content)]


def _scatter(pair: pd.DataFrame, study: Study, split: str, gap: str) -> Chart:
    first, model = pair.columns
    points = pair.set_axis(["first", "second"], axis=1)
    wider = (points["second"] > points["first"]).mean()
    message = (
        f"{study.title(model)} has the wider gap on {wider:.0%} of {len(points)} "
        f"{SPLITS[split].lower()} images."
    )
    titles = (study.title(first), study.title(model))
    draw = partial(_draw_scatter, points.reset_index(), titles, model, gap)
    return Chart(f"images-{model}", draw, message)


def _draw_scatter(
    points: pd.DataFrame, titles: tuple[str, str], model: str, gap: str, dark: bool
) -> alt.LayerChart:
    mark = theme.marks([model], dark)[model]
    name = decomposition.GAPS[gap]
    return charts.against(points, titles, mark, theme.ink(dark), gap=name)
