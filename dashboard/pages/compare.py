"""Two or more models beside each other: curves, paired differences, images."""

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from comvae.results.index import Run
from comvae.results.quantities import QUANTITIES
from dashboard import comparison, summary
from dashboard import elements as el
from dashboard.charts.curves import by_seed, lines, message
from dashboard.charts.effects import effects
from dashboard.charts.images import against
from dashboard.decomposition import MAIN_GAP, gaps_of
from dashboard.differences import RULE, to_first
from dashboard.findings import BASELINE
from dashboard.study import Study, bounds_alone, warnings
from dashboard.summary import METRIC, title_of, with_unit

GAIN = "elbo"  # whose differences are the gains of the first page
WRITTEN = [METRIC, GAIN, "log_px", MAIN_GAP]  # the differences that a site shows
ABREAST = 3  # pictures beside each other


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text("Two or more models beside each other, from the same seeds.")
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.runs_on(dataset)
    names = study.in_order(run.model for run in here)
    rivals = [model for model in names if model not in bounds_alone(study)]
    models = ask.some(
        el.Choice(
            "Models, the first is what the others are compared with",
            "models",
            names,
            study.title,
            default=summary.default_models(study, dataset, names),
            written=sorted(rivals, key=lambda model: model != BASELINE),
        )
    )
    if len(models) < 2:
        yield el.Notice("Choose at least two models above.")
        return
    chosen = [run for run in here if run.model in models]
    yield from _curves(chosen, study, models, ask)
    yield el.Heading("Differences, seed by seed")
    runs = study.of("runs", dataset)
    split = ask.one(summary.split_choice(runs))
    if runs is None:
        yield from study.lacking("runs")
    else:
        yield from _differences(runs, study, (dataset, split), models, ask)
    yield from _images(chosen, study, models, split, ask)


def _curves(
    chosen: Sequence[Run], study: Study, models: Sequence[str], ask: el.Ask
) -> Iterator[el.Element]:
    """One quantity over the epochs of all chosen runs."""
    yield el.Heading("Training")
    found, problems = comparison.histories(chosen)
    terms = summary.measured_in(*(table for _, table in found)) or [METRIC]
    term = ask.one(el.Choice("Term", "term", terms, title_of))
    scale = ask.one(el.Choice("Scale", "scale", ["linear", "logarithmic"]))
    yield from warnings(problems)
    order = sorted(found, key=lambda of: models.index(of[0]))
    epochs = by_seed([(m, m, study.title(m), table) for m, table in order], term)
    if epochs.empty:
        yield el.Text("None of these models has a training history yet.")
        return
    said = message(epochs, term)
    yield el.Text(said)
    draw = partial(lines, epochs, term, log=scale == "logarithmic")
    yield el.Chart(f"curves-{term}", draw, said)
    yield el.Caption(
        "How to read it: the line is the mean over seeds, which are the thin lines; "
        "the axis has the range of the last 80% of the epochs. Averages over each "
        "epoch while training, with weights and batch norm in training mode. A click "
        "in the legend leaves one model; with Shift held, the wheel zooms and the "
        "pointer moves the chart."
    )


def _differences(
    runs: pd.DataFrame,
    study: Study,
    view: tuple[str, str],
    models: Sequence[str],
    ask: el.Ask,
) -> Iterator[el.Element]:
    """Every model against the first; `view` is dataset and split."""
    metrics = [
        name
        for name in summary.measured_in(runs[runs["split"] == view[1]])
        if QUANTITIES[name].source != "training"
    ] or [METRIC]
    metrics.sort(key=lambda name: name != GAIN)
    written = [metric for metric in WRITTEN if metric in metrics]
    choice = el.Choice("Quantity", "quantity", metrics, title_of, written=written)
    for metric in ask.each(choice):
        rows = to_first(runs, study, (*view, metric), models)
        absent = rows.loc[rows["effect"].isna(), "model"]
        if len(absent):
            names = "; ".join(map(study.title, absent))
            text = f"No seed in common with the first model here: {names}."
            yield el.Notice(text, "warning")
        found = rows.dropna(subset="effect")
        yield from shown_differences(found, study.title(models[0]), metric)
    yield el.Caption(f"How sure is it: {RULE}")


def shown_differences(
    found: pd.DataFrame, than: str, metric: str
) -> Iterator[el.Element]:
    """The differences in one quantity to what stands in `than`, drawn and as a table.

    `found` has the columns of `difference_row`, and Here and There where the values
    themselves are shown.
    """
    if found.empty:
        yield el.Text(f"Nothing has this quantity here and under {than}.")
        return
    quantity = QUANTITIES[metric]
    counts = found["verdict"].value_counts()
    told = ", ".join(f"{counts[word]} {word}" for word in found["verdict"].unique())
    message = f"{quantity.title} beside {than}: {told}."
    yield el.Text(message)
    title, sense = [with_unit(metric), f"above {than}"], ""
    if quantity.better:
        title = [f"Gain over {than},", f"{quantity.unit}: to the right is better"]
        sense = f" Plus, to the right, is better than {than}."
    draw = partial(effects, found, x_title=title)
    yield el.Chart(f"differences-{metric}", draw, message)
    yield el.Caption(
        "How to read it: each thin tick is one seed's difference, the mark their mean, "
        f"the line its 95% interval.{sense}"
        + (" On the images of the gaps." if quantity.source == "gap" else "")
    )
    gain = "Gain" if quantity.better else "Difference"
    heads = {"title": "Model", "Here": "Here", "There": "There", "effect": gain}
    heads |= {"n_seeds": "Seeds", "verdict": "Which is"}
    table = found[[name for name in heads if name in found]].rename(columns=heads)
    formats = {"Here": ",.2f", "There": ",.2f", "Seeds": ".0f"}
    says = f"Paired differences of {len(found)} models to {than}."
    texts = {gain: found["text"].tolist()}
    yield el.SortableTable(table.reset_index(drop=True), says, formats, texts)


def _images(
    chosen: Sequence[Run], study: Study, models: Sequence[str], split: str, ask: el.Ask
) -> Iterator[el.Element]:
    """A gap of each image under the first model and under each of the others."""
    yield el.Heading("Image by image")
    gap = ask.one(el.Choice("Gap", "gap", gaps_of("runs"), title_of))
    by_image, problems = comparison.image_gaps(chosen, split, gap)
    yield from warnings(problems)
    first, *rest = models
    others = [model for model in rest if model in by_image]
    if first not in by_image or not others:
        yield el.Text(
            f"No image has this gap under {study.title(first)} and another of these "
            "models: their gaps are not measured yet, or not on the same images."
        )
        return
    drawn = [_scatter(by_image[[first, model]], study, split, gap) for model in others]
    for start in range(0, len(drawn), ABREAST):
        row = drawn[start : start + ABREAST]
        yield el.Columns([[el.Text(chart.says), chart] for chart in row])
    yield el.Caption(
        "How to read it: each point is one image, its gap averaged over the seeds of "
        "each model. Above the dashed line the gap is wider than under the first model."
    )


def _scatter(pair: pd.DataFrame, study: Study, split: str, gap: str) -> el.Chart:
    first, model = pair.columns
    points = pair.set_axis(["first", "second"], axis=1).reset_index()
    wider = (points["second"] > points["first"]).mean()
    message = (
        f"{study.title(model)} has the wider gap on {wider:.0%} of {len(points)} "
        f"{summary.split_title(split).lower()} images."
    )
    titles = (study.title(first), study.title(model))
    draw = partial(against, points, titles, model, title_of(gap))
    return el.Chart(f"images-{model}", draw, message)
