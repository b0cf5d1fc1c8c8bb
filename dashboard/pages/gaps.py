"""The gaps: how far each model's ELBO lies below log p(x), and why."""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from comvae.results.statistics import COVERS
from dashboard import decomposition, summary
from dashboard import elements as el
from dashboard.charts.effects import effects
from dashboard.charts.quantiles import quantiles
from dashboard.charts.stack import stack
from dashboard.study import Study, bounds_alone
from dashboard.text import number

WIDE = 5  # nats: beyond it the scale of gains is logarithmic


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    if not study.measures_gaps:
        yield el.Notice("This study measures no gaps: its setting gap.images is 0.")
        return
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    gaps = study.of("gaps", dataset)
    if gaps is None:
        yield from study.lacking("gaps")
        return
    split = ask.one(summary.split_choice(gaps))
    here = gaps[gaps["split"] == split]
    measured = decomposition.measured(here, study)
    models: list[str] = []
    if measured:
        # in a site without the ends of the scale, which dwarf the rest
        ends = bounds_alone(study)
        rivals = [model for model in measured if model not in ends] or measured
        first = summary.default_models(study, dataset, measured)
        models = ask.some(
            el.Choice("Models", "models", measured, study.title, first, rivals)
        )
    if absent := [m for m in study.in_order(here["model"]) if m not in measured]:
        names = "; ".join(map(study.title, absent))
        yield el.Notice(f"Not measured, or no run finished: {names}.", "warning")
    if not models:
        if measured:
            yield el.Notice("Choose at least one model above.")
        return
    here = here[here["model"].isin(models)]
    gains = _gains(study, dataset, split, models)
    yield el.Columns([[*_stack(here, study, dataset)], [*gains]])
    yield from _spread(here, study, ask)
    yield from _bounds(here, study)
    yield el.Row([el.File("tables/gaps.csv"), el.File("tables/attribution.csv")])


def _stack(here: pd.DataFrame, study: Study, dataset: str) -> Iterator[el.Element]:
    """The gaps of each model on top of each other."""
    yield el.Heading(f"What the ELBO lacks on {dataset}")
    message = decomposition.widest(here, study)
    rows = decomposition.stack_rows(here, study)
    title = "log p(x) minus ELBO, nats per image (lower is better)"
    yield el.Text(message)
    yield el.Text(
        "ELBO = log p(x) \N{MINUS SIGN} approximation gap \N{MINUS SIGN} amortization "
        f"gap, for every image. {decomposition.certified(here, study)}"
    )
    yield el.Chart("stack-gaps", partial(stack, rows, x_title=title), message)
    yield el.Caption(
        "How to read it: the bar begins at log p(x), which is set to 0, and ends at "
        "the ELBO, where the mark of the model stands, with its 95% interval. From the "
        "mark on come the weight noise: what drawing random weights costs against "
        "setting them to their means; the rest of the amortization gap: what the "
        "encoder's q lacks beside the best diagonal Gaussian q*; and the approximation "
        f"gap: what q* still lacks. {COVERS} Pointed at, a bar tells the one over both."
    )


def _gains(
    study: Study, dataset: str, split: str, models: list[str]
) -> Iterator[el.Element]:
    """What the gains over vanilla are made of."""
    yield el.Heading("What the gains are made of")
    attribution = study.of("attribution", dataset)
    yield from study.damage("attribution")
    rows = pd.DataFrame()
    if attribution is not None:
        here = attribution["split"].eq(split) & attribution["model"].isin(models)
        rows = decomposition.gains(attribution[here], study)
    if rows.empty:
        yield el.Text(
            "There is no gain over vanilla to take apart: no other model has a seed "
            "whose gaps are measured together with vanilla's."
        )
        return
    message = decomposition.gain_message(rows)
    yield el.Text(message)
    wide = bool(rows["effect"].abs().max() > WIDE)
    title = ["Gain over vanilla, nats per image:", "to the right is better"]
    draw = partial(effects, rows, x_title=title, wide=wide)
    yield el.Chart("gains", draw, message)
    text = (
        "How to read it: the ELBO gain is the sum of the four parts below it. What "
        "improves the ELBO is positive, a narrower gap too. Lines are 95% intervals, "
        "paired over seeds; one that crosses 0 shows nothing."
    )
    if wide:
        text += " The scale is linear near 0 and logarithmic beyond."
    yield el.Caption(text)


def _spread(here: pd.DataFrame, study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """How a gap is distributed over the images."""
    yield el.Heading("Image by image")
    gaps = [g for g in decomposition.gaps_of("gaps") if g in set(here["quantity"])]
    parts = [
        gap for gap in (decomposition.MAIN_GAP, "approximation_gap") if gap in gaps
    ]
    choice = el.Choice("Gap", "gap", gaps, summary.title_of, written=parts)
    for gap in ask.each(choice):
        rows = decomposition.spread(here, study, gap)
        name = summary.title_of(gap)
        place = (rows["mean"] - rows["median"]).abs().fillna(0).idxmax()
        row = rows.loc[place]
        message = (
            f"{name}: mean and median differ most for {row['title']}, "
            f"{number(row['mean'])} and {number(row['median'])} nats, over "
            f"{rows['images'].max():.0f} images."
        )
        yield el.Text(message)
        draw = partial(quantiles, rows, x_title=f"{name}, nats per image")
        yield el.Chart(f"spread-{gap}", draw, message)
        yield el.Caption(
            "How to read it: the thin line holds 90% of the images, the thick one the "
            "middle half, the tick is the median and the mark the mean. A mean right "
            "of the thick line comes from few images with a large gap. Quantiles are "
            "averaged over seeds."
        )
        says = f"{name} in nats by model: quantiles."
        table = decomposition.spread_table(rows)
        formats = dict.fromkeys(table.columns[1:-1], ".2f")
        yield el.SortableTable(table, says, formats)
        yield el.Caption(
            "Seeds and images: the 95% interval of the mean over both (hierarchical "
            "bootstrap)."
        )


def _bounds(here: pd.DataFrame, study: Study) -> Iterator[el.Element]:
    yield el.Heading("Which L[q]? Three meanings")
    yield el.Text(
        "An encoder with random weights has more than one q. Its ELBO can be taken "
        "with the weights sampled for each image (what it is trained on, and what "
        "the gaps above are measured from), with the weights at their means, or "
        "with q as the mixture over all weights. They agree where weights are not "
        "random."
    )
    yield el.Table(
        decomposition.bounds_table(here, study),
        "Lower bounds on log p(x) of each model, in nats per image.",
    )
    yield el.Caption(
        "Nats per image: mean ± half of the 95% interval over seeds; higher is "
        "better. The mixture may lie above the best Gaussian, since it is no Gaussian."
    )
