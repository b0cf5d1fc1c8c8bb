"""The paper's claims: what was found, and how the verdict is reached."""

from functools import partial

import altair as alt
import pandas as pd

from comvae.results.claims import RESOLUTION
from dashboard import charts, theme
from dashboard.differences import effect_text
from dashboard.sections.blocks import (
    Block,
    Caption,
    Chart,
    Heading,
    Table,
    TableFile,
    Terms,
    Text,
    Verdicts,
)
from dashboard.summary import METRICS, number

QUANTITIES = METRICS | {"amortization_gap": "Amortization gap"}
INTRO = Text("What the paper says, and what this study finds.")
RULE: list[Block] = [
    Text(
        "How a verdict is reached. Each claim says that a sum over models, its effect, "
        "is greater than a bar, which is 0 unless it says otherwise. The effect is "
        "paired by seed, with a 95% interval (Student's t over the seeds)."
    ),
    Terms(
        (
            ("Supported", "the whole interval lies above the bar."),
            ("Contradicted", "the whole interval lies below it."),
            (
                "Inconclusive",
                "the interval holds the bar, or there is one seed, or the effect is "
                f"within {RESOLUTION:g} nats of the bar, which the estimators cannot "
                "tell apart.",
            ),
            ("Not run", "no seed has all that the effect is made of."),
        )
    ),
    Text(
        "A claim of several parts needs all of them; one contradicted part contradicts "
        "it. Intervals are not corrected for the number of claims."
    ),
]


def blocks(here: pd.DataFrame) -> list[Block]:
    """The whole page; `here` are the claims on one dataset."""
    return [verdicts(here), *RULE, *chart(here), *table(here), TableFile("claims")]


def verdicts(here: pd.DataFrame) -> Verdicts:
    """Each claim with its verdict."""
    first = here.drop_duplicates("claim")
    return Verdicts(tuple(zip(first["verdict"], first["statement"], strict=True)))


def chart(here: pd.DataFrame) -> list[Block]:
    """The effects beyond their bar, with intervals."""
    found = effect_rows(here).dropna(subset="effect")
    head = Heading("Effects beyond their bar")
    if found.empty:
        return [head, Text("No claim has a finished seed yet.")]
    says = message(here)
    caption = (
        "How to read it: each claim's parts, the mark at the effect minus its bar, the "
        "line its 95% interval. Right of 0 the claim holds. Circles are supported, "
        "crosses contradicted, squares inconclusive. The scale is linear near 0 and "
        "logarithmic beyond, so that a collapse of tens of nats and a gain of a tenth "
        "can both be seen."
    )
    drawn = Chart("effects", partial(_draw, found), says)
    return [head, Text(says), drawn, Caption(caption)]


def _draw(found: pd.DataFrame, dark: bool) -> alt.LayerChart:
    return charts.effects(
        found,
        {model: theme.VERDICT_MARKS[model] for model in found["model"]},
        theme.ink(dark),
        x_title="Effect minus bar, nats per image (claimed: > 0)",
        wide=True,
    )


def effect_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per part of a claim, for the chart of effects."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        for place, part in enumerate(parts.itertuples(), start=1):
            rows.append(
                {
                    "group": claim,
                    "title": claim.replace("-", " "),
                    "model": part.part_verdict
                    if part.part_verdict in theme.VERDICT_MARKS
                    else "not run",
                    "part": f"part {place}" if len(parts) > 1 else "",
                    "effect": part.effect - part.at_least,
                    "low": part.ci_low - part.at_least,
                    "high": part.ci_high - part.at_least,
                    "text": f"{_quantity(part.metric)}: {part.definition}: "
                    + effect_text(part.effect, part.ci_low, part.ci_high),
                }
            )
    return pd.DataFrame(rows)


def message(claims: pd.DataFrame) -> str:
    """How many claims have which verdict, in one sentence."""
    counts = claims.drop_duplicates("claim")["verdict"].value_counts()
    words = [f"{n} {name}" for name, n in counts.items()]
    return f"Of {counts.sum()} claims of the paper: {', '.join(words)}."


def table(here: pd.DataFrame) -> list[Block]:
    """Every part of every claim as text."""
    says = f"Effects and verdicts of {here['claim'].nunique()} claims."
    text = "Effects in nats per image, with their 95% interval over paired seeds."
    return [Heading("The numbers"), Table(numbers(here), says), Caption(text)]


def numbers(claims: pd.DataFrame) -> pd.DataFrame:
    """Every part of every claim, one row each."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        for place, part in enumerate(parts.itertuples()):
            bar = f", more than {part.at_least:g}" if part.at_least else ""
            rows.append(
                {
                    "Claim": claim.replace("-", " ") if place == 0 else "",
                    "Verdict": part.verdict if place == 0 else "",
                    "Effect is": f"{_quantity(part.metric)}: {part.definition}{bar}",
                    "Effect": effect_text(part.effect, part.ci_low, part.ci_high),
                    "Seeds": number(part.n_seeds, 0),
                    "This part": part.part_verdict if len(parts) > 1 else "",
                }
            )
    return pd.DataFrame(rows)


def _quantity(metric: str) -> str:
    return QUANTITIES.get(metric, metric.replace("_", " "))
