"""The paper's claims: what was found, and how the verdict is reached."""

import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from comvae.results.claims import CLAIMS, of_source
from comvae.results.statistics import COVERS, p_text
from comvae.results.tables.paper import paper_values
from comvae.results.verdicts import RESOLUTION, VERDICTS
from dashboard import elements as el
from dashboard import summary, theme
from dashboard.charts.effects import effect_row, effects
from dashboard.charts.parts import intervals
from dashboard.study import Study
from dashboard.summary import title_of
from dashboard.text import NOTHING, counted, effect_text, number, signed

PAPERS = "mnist"  # whose images the paper's effects are told of


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text("What the paper says, and what this study finds.")
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    claims = study.of("claims", dataset)
    if claims is None:
        yield from study.lacking("claims")
        return
    yield from summary.departures(study, dataset)
    yield from judged(claims)
    yield from _rule()
    yield el.Heading("Effects beyond their bar")
    yield from _effects_chart(claims)
    yield el.Heading("The numbers")
    says = f"Effects and verdicts of {claims['claim'].nunique()} claims."
    yield el.Table(_numbers(claims), says)
    yield el.Caption(
        "Effects in nats per image, with their 95% interval over paired seeds. "
        f"{COVERS} p values are of whole claims, corrected for their number (Holm)."
    )
    yield el.File("tables/claims.csv")


def _rule() -> Iterator[el.Element]:
    yield el.Text(
        "How a verdict is reached. Each claim says that a sum over models, its effect, "
        "is greater than a bar, which is 0 unless it says otherwise. The effect is "
        "paired by seed, with a 95% interval (Student's t over the seeds). The claims "
        "are about the paper's datasets and settings: elsewhere they hold here, or do "
        "not hold here."
    )
    rules = {
        "Supported, holds here": "the whole interval lies above the bar, and the "
        "corrected p value is below 0.05.",
        "Contradicted, does not hold here": "the whole interval lies below it, and the "
        "corrected p value is below 0.05.",
        "Inconclusive": "neither; or there is one seed; or the effect is within "
        f"{RESOLUTION:g} nats of the bar, which the estimators cannot tell apart.",
        "Not run": "no seed has all that the effect is made of.",
    }
    yield el.pairs(rules, ("Verdict", "Where"), "What each verdict means.")
    yield el.Text(
        "A claim of several parts needs all of them; one contradicted part contradicts "
        "it. Its p value is the largest of its parts; against it, the smallest of the "
        "contradicted ones times the number of parts (Bonferroni). The p values of "
        "one source's claims on a dataset are corrected for being many (Holm); the "
        "intervals and the verdicts on single parts are not."
    )


def judged(claims: pd.DataFrame) -> Iterator[el.Element]:
    """Each claim with its verdict, its effects here and drawn, and those in the
    paper."""
    yield el.Text(_verdicts(claims))
    rows, drawn = [], []
    effects_of = dict(iter(_effect_rows(claims).groupby("group")))
    for claim, parts in claims.groupby("claim", sort=False):
        here = effects_of[claim]
        told = [
            effect_text(part.effect, part.ci_low, part.ci_high)
            for part in parts.itertuples()
        ]
        text = f"{parts['statement'].iloc[0]} Here: {'; '.join(told)}"
        papers = [e for e in map(signed, _in_paper(claim)) if e != NOTHING]
        if papers:
            text += f". In the paper, on {PAPERS}: {'; '.join(papers)}"
        rows.append((parts["verdict"].iloc[0], f"{text}."))
        ends = here[["effect", "low", "high"]].to_numpy().tolist()
        colours = [theme.VERDICT_MARKS[verdict].colour for verdict in here["model"]]
        drawn.append([(*e, c) for e, c in zip(ends, colours, strict=True)])
    pictures = intervals(drawn)
    yield el.Verdicts([(*row, p) for row, p in zip(rows, pictures, strict=True)])
    yield el.Caption(
        "Beside each claim its effects minus their bars, with 95% intervals, all on "
        "one axis, linear near 0 and logarithmic beyond: right of the line it holds."
    )


def _effects_chart(claims: pd.DataFrame) -> Iterator[el.Element]:
    """The effects beyond their bar, with intervals."""
    found = _effect_rows(claims).dropna(subset="effect")
    if found.empty:
        yield el.Text("No claim has a finished seed yet.")
        return
    draw = partial(
        effects,
        found,
        x_title="Effect minus bar, nats per image (claimed: > 0)",
        wide=True,
        marks=theme.VERDICT_MARKS,
    )
    yield el.Chart("effects", draw, _verdicts(claims))
    yield el.Caption(
        "How to read it: each claim's parts, the mark at the effect minus its bar, the "
        "line its 95% interval. Right of 0 the claim holds: circles do, crosses do "
        "not, squares are inconclusive. The scale is linear near 0 and "
        "logarithmic beyond, so that a collapse of tens of nats and a gain of a tenth "
        "can both be seen."
    )


def _effect_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per part of a claim, for the chart of effects."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        for place, part in enumerate(parts.itertuples(), start=1):
            verdict = part.part_verdict if len(parts) > 1 else part.verdict
            known = verdict if verdict in theme.VERDICT_MARKS else "not run"
            name = f"part {place}" if len(parts) > 1 else ""
            row = effect_row(
                claim, claim.replace("-", " "), known, part._asdict(), name
            )
            row["text"] = f"{title_of(part.metric)}: {part.definition}: {row['text']}"
            beyond = {
                end: row[end] - part.at_least for end in ("effect", "low", "high")
            }
            rows.append(row | beyond)
    return pd.DataFrame(rows)


def _verdicts(claims: pd.DataFrame) -> str:
    """How many of the claims on a dataset have which verdict, a sentence a source."""
    claims, text = claims.drop_duplicates("claim"), []
    for source, these in claims.groupby(claims["claim"].map(of_source), sort=False):
        counts = these["verdict"].value_counts()
        found = [f"{name} {counts[name]}" for name in VERDICTS if name in counts]
        text.append(
            f"Of {counted(len(these), 'claim')} of {source}: {', '.join(found)}."
        )
    return " ".join(text)


def _in_paper(claim: str) -> list[float]:
    """The effects of a claim's parts by the paper's table, NaN for what it lacks."""
    values = paper_values()
    return [
        sum(
            weight * values.get((PAPERS, model, split, part.metric), math.nan)
            for weight, model, split in part.terms
        )
        for known in CLAIMS
        if known.name == claim
        for part in known.parts
    ]


def _numbers(claims: pd.DataFrame) -> pd.DataFrame:
    """Every part of every claim as text, one row each."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        papers = _in_paper(claim) or [math.nan] * len(parts)
        told = zip(parts.itertuples(), papers, strict=True)
        for place, (part, paper) in enumerate(told):
            bar = f", more than {part.at_least:g}" if part.at_least else ""
            rows.append(
                {
                    "Claim": claim.replace("-", " ") if place == 0 else "",
                    "Verdict": part.verdict if place == 0 else "",
                    "Effect is": f"{title_of(part.metric)}: {part.definition}{bar}",
                    "Effect": effect_text(part.effect, part.ci_low, part.ci_high),
                    f"Paper, {PAPERS}": signed(paper),
                    "Seeds": number(part.n_seeds, 0),
                    "p": p_text(part.p_value) if place == 0 else "",
                    "p, Holm": p_text(part.p_corrected) if place == 0 else "",
                    "This part": part.part_verdict if len(parts) > 1 else "",
                }
            )
    return pd.DataFrame(rows)
