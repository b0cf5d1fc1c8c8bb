"""The gaps: how far each model's ELBO lies below log p(x), and why."""

from functools import partial

import altair as alt
import pandas as pd

from dashboard import charts, decomposition, theme
from dashboard.sections.blocks import (
    Block,
    Caption,
    Chart,
    Heading,
    Notice,
    Table,
    TableFile,
    Text,
)
from dashboard.study import Study, bounds_alone

INTRO = Text(
    "ELBO = log p(x) \N{MINUS SIGN} approximation gap \N{MINUS SIGN} amortization gap, "
    "for every image. The approximation gap is what the best diagonal Gaussian q* "
    "still lacks; the amortization gap is what the encoder's q lacks beside q*."
)
NONE_MEASURED = Notice(
    "This study measures no gaps: its setting gap.images is 0.",
)
SPLITS = {"test": "Test images", "train": "Training images"}
SHOWN = {
    "gaps": "The gaps alone, from 0",
    "levels": "From log p(x) down to the ELBO",
}
WIDE = 5  # nats: beyond it the scale of gains is logarithmic


def splits_of(gaps: pd.DataFrame, dataset: str) -> list[str]:
    """The splits of a dataset, the known ones first."""
    known = set(gaps.loc[gaps["dataset"] == dataset, "split"])
    return [split for split in SPLITS if split in known] + sorted(known - set(SPLITS))


def shown_first(study: Study, measured: list[str]) -> list[str]:
    """The models to draw at first: not the ends of the scale, which dwarf the rest."""
    ends = bounds_alone(study)
    return [model for model in measured if model not in ends] or measured


def absent(here: pd.DataFrame, study: Study, measured: list[str]) -> list[Block]:
    """The models without a gap, if there are any."""
    names = [m for m in study.in_order(here["model"]) if m not in measured]
    if not names:
        return []
    listed = "; ".join(study.title(model) for model in names)
    return [Notice(f"Not measured, or no run finished: {listed}.", warning=True)]


def stack_heading(dataset: str) -> Heading:
    """The head of the section on the stack, above what is chosen there."""
    return Heading(f"What the ELBO lacks on {dataset}")


def stack(here: pd.DataFrame, study: Study, shown: str) -> list[Block]:
    """Both gaps of each model on top of each other; `shown` is a key of SHOWN."""
    message = decomposition.widest(here, study)
    if shown == "levels":
        rows = decomposition.levels(here, study)
        title = "nats per image (higher is better)"
        text = "the bar ends at log p(x) on the right and begins at the ELBO, where"
    else:
        rows = decomposition.below(here, study)
        title = "log p(x) minus ELBO, nats per image (lower is better)"
        text = (
            "the bar begins at log p(x), which is set to 0, and ends at the ELBO, where"
        )
    caption = (
        f"How to read it: {text} the mark of the model stands, with its 95% interval "
        "over seeds. The part that the mark ends is the amortization gap, the other "
        "one the approximation gap."
    )
    drawn = Chart(f"stack-{shown}", partial(_draw_stack, rows, title), message)
    return [Text(message), drawn, Caption(caption)]


def _draw_stack(rows: pd.DataFrame, title: str, dark: bool) -> alt.LayerChart:
    marks = theme.marks(rows["model"].unique().tolist(), dark)
    return charts.stack(rows, marks, theme.ink(dark), x_title=title)


def of(
    attribution: pd.DataFrame | None, view: tuple[str, str], models: list[str]
) -> pd.DataFrame | None:
    """The rows of one dataset and split, of the models shown."""
    if attribution is None:
        return None
    chosen = (attribution["dataset"] == view[0]) & (attribution["split"] == view[1])
    return attribution[chosen & attribution["model"].isin(models)]


def gains(attribution: pd.DataFrame | None, study: Study) -> list[Block]:
    """What the gains over vanilla are made of, from the rows of the models shown."""
    head = Heading("What the gain over vanilla is made of")
    rows = pd.DataFrame()
    if attribution is not None:
        rows = decomposition.gains(attribution, study)
    if rows.empty:
        text = (
            "There is no gain over vanilla to take apart: no other model has a seed "
            "whose gaps are measured together with vanilla's."
        )
        return [head, Text(text)]
    message = decomposition.gain_message(rows)
    text = (
        "How to read it: the ELBO gain is the sum of the three parts below it. What "
        "improves the ELBO is positive, a narrower gap too. Lines are 95% intervals, "
        "paired over seeds; one that crosses 0 shows nothing."
    )
    if _wide(rows):
        text += " The scale is linear near 0 and logarithmic beyond."
    drawn = Chart("gains", partial(_draw_gains, rows), message)
    return [head, Text(message), drawn, Caption(text), TableFile("attribution")]


def _wide(rows: pd.DataFrame) -> bool:
    return rows["effect"].abs().max() > WIDE


def _draw_gains(rows: pd.DataFrame, dark: bool) -> alt.LayerChart:
    return charts.effects(
        rows,
        theme.marks(rows["model"].unique().tolist(), dark),
        theme.ink(dark),
        x_title="Gain over vanilla, nats per image",
        wide=_wide(rows),
    )


def spread(here: pd.DataFrame, study: Study, gap: str) -> list[Block]:
    """How one gap is distributed over the images."""
    rows = decomposition.spread(here, study, gap)
    name = decomposition.GAPS[gap]
    message = (
        f"{name}: mean and median differ most for "
        f"{_most_skewed(rows)}, over {rows['images'].max():.0f} images."
    )
    caption = (
        "How to read it: the thin line holds 90% of the images, the thick one the "
        "middle half, the tick is the median and the mark the mean. A mean right of "
        "the thick line comes from few images with a large gap. Quantiles are averaged "
        "over seeds."
    )
    return [
        Text(message),
        Chart(f"spread-{gap}", partial(_draw_spread, rows, name), message),
        Caption(caption),
        Table(decomposition.spread_table(rows), f"{name} in nats by model: quantiles."),
    ]


def _draw_spread(rows: pd.DataFrame, name: str, dark: bool) -> alt.LayerChart:
    return charts.quantiles(
        rows,
        theme.marks(rows["model"].tolist(), dark),
        theme.ink(dark),
        x_title=f"{name}, nats per image",
    )


def _most_skewed(rows: pd.DataFrame) -> str:
    place = (rows["mean"] - rows["median"]).abs().idxmax()
    row = rows.loc[place]
    return (
        f"{row['title']} ({row['mean']:.2f} and {row['median']:.2f} nats)"
        if pd.notna(place)
        else "no model"
    )


def bounds(here: pd.DataFrame, study: Study) -> list[Block]:
    """The three meanings of L[q]."""
    return [
        Heading("Which L[q]? Three meanings"),
        Text(
            "An encoder with random weights has more than one q. Its ELBO can be taken "
            "with the weights sampled for each image (what it is trained on, and what "
            "the gaps above are measured from), with the weights at their means, or "
            "with q as the mixture over all weights. They agree where weights are not "
            "random."
        ),
        Table(
            decomposition.bounds_table(here, study),
            "Lower bounds on log p(x) of each model, in nats per image.",
        ),
        Caption(
            "Nats per image: mean ± half of the 95% interval over seeds; higher is "
            "better. The mixture may lie above the best Gaussian, since it is no "
            "Gaussian."
        ),
    ]
