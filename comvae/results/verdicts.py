"""What is found of each claim, and a verdict.

`verdict` is the one rule by which all claims are judged; those of a source on a dataset
are corrected for being many.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from comvae.results import formats
from comvae.results.claims import CLAIMS, RIVALS, Claim
from comvae.results.quantities import QUANTITIES
from comvae.results.statistics import CONFIDENCE, effect, holm, p_value, paired
from comvae.study.plan import Plan

RESOLUTION = 0.02
"""Nats per image: the error that the estimators are tested to (docs/gap.md)."""
HERE = {"supported": "holds here", "contradicted": "does not hold here"}
"""What is said in place of a verdict where the study departs from the paper."""
VERDICTS = [
    *(word for pair in HERE.items() for word in pair),
    "inconclusive",
    "not run",
]


def verdict(found: dict[str, float], at_least: float = 0.0) -> str:
    """What an effect with its 95% interval over paired seeds says about a claim.

    The claim is that the effect is greater than `at_least`, in nats.

    - `not run`: no seed has all that the effect is made of.
    - `supported`: the whole interval lies above `at_least`.
    - `contradicted`: the whole interval lies below it.
    - `inconclusive`: the interval holds it; or there is no interval, with one seed; or
      the effect is within RESOLUTION of it, which the estimators cannot tell apart.
    """
    if found["n_seeds"] == 0:
        return "not run"
    low, high = found["ci_low"], found["ci_high"]
    if found["n_seeds"] < 2 or not math.isfinite(high - low):
        return "inconclusive"
    if abs(found["effect"] - at_least) < RESOLUTION:
        return "inconclusive"
    if low > at_least:
        return "supported"
    return "contradicted" if high < at_least else "inconclusive"


def best_models(
    runs: pd.DataFrame, dataset: str, split: str, metric: str, rivals: set[str]
) -> set[str]:
    """The model of `rivals` with the best mean, and those not really worse than it.

    Worse is what the rule of the claims calls so, of differences paired over seeds;
    with one seed nothing is. Empty where no rival has a value.
    """
    here = runs[(runs["dataset"] == dataset) & (runs["split"] == split)]
    here = here[here["model"].isin(rivals)].dropna(subset=metric)
    if here.empty:
        return set()
    sign = -1.0 if QUANTITIES[metric].better == "higher" else 1.0
    means = sign * here.groupby("model")[metric].mean()
    first = means.idxmin()

    def worse(model: str) -> bool:
        terms = [(sign, model, split), (-sign, first, split)]
        return verdict(effect(paired(here, dataset, metric, terms))) == "supported"

    return {model for model in means.index if model == first or not worse(model)}


def conjunction(verdicts: list[str]) -> str:
    """The verdict on a claim whose parts have these: all must be supported.

    One contradicted part contradicts the claim, whatever became of the others.
    """
    for worst in ("contradicted", "not run", "inconclusive"):
        if worst in verdicts:
            return worst
    return "supported"


def p_of_claim(parts: Sequence[Mapping[str, Any]]) -> float:
    """The p value of what is said of a claim; NaN where a part of it has none.

    That all parts hold is as sure as the least sure of them; that one of them does not,
    as the surest of those, corrected for the number of parts (Bonferroni).
    """
    against = [p["p_value"] for p in parts if p["part_verdict"] == "contradicted"]
    if against:
        return min(1.0, len(parts) * min(against))
    return float(np.max([part["p_value"] for part in parts]))


def claims_table(
    plan: Plan,
    runs: pd.DataFrame,
    departures: Mapping[str, str],
    claims: tuple[Claim, ...] = CLAIMS,
) -> pd.DataFrame:
    """One row per dataset of the study, claim and part of the claim.

    `part_verdict` is by the interval of the part. The other three are of the claim: a
    `verdict` that its `p_value`, corrected for the number of claims of its source on
    the dataset to `p_corrected` (Holm), does not bear out is `inconclusive`. HERE has
    the words for datasets with `departures` from the paper, and for claims of others,
    whose settings were others too.
    """
    rows = []
    for dataset in plan.datasets:
        tested = [_parts(claim, dataset, runs) for claim in claims]
        p_values = np.array([p_of_claim(parts) for parts in tested])
        corrected_p = np.empty_like(p_values)
        sources = np.array([claim.source for claim in claims])
        for source in set(sources):
            corrected_p[sources == source] = holm(p_values[sources == source])
        elsewhere = departures.get(dataset, "")
        for claim, parts, p, corrected in zip(
            claims, tested, p_values, corrected_p, strict=True
        ):
            words = HERE if elsewhere or claim.source == RIVALS else {}
            whole = conjunction([part["part_verdict"] for part in parts])
            if whole in HERE and corrected >= 1 - CONFIDENCE:
                whole = "inconclusive"
            for part in parts:
                judged = part["part_verdict"]
                rows.append(
                    part
                    | dict(p_value=p, p_corrected=corrected, departures=elsewhere)
                    | dict(part_verdict=words.get(judged, judged))
                    | dict(verdict=words.get(whole, whole))
                )
    return pd.DataFrame(rows, columns=formats.CLAIMS.columns)


def in_words(dataset: str, found: str) -> str:
    """The `departures` of a dataset as a sentence; empty where there are none."""
    if not found:
        return ""
    return (
        f"On {dataset} this study departs from the paper, in brackets: {found}. What "
        "holds here need not hold there."
    )


def _parts(claim: Claim, dataset: str, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """What each part of a claim says, and what is found."""
    rows = []
    for part in claim.parts:
        found = effect(paired(runs, dataset, part.metric, part.terms))
        rows.append(
            dict(
                claim=claim.name,
                statement=claim.statement,
                dataset=dataset,
                split=part.split,
                metric=part.metric,
                definition=part.definition,
                at_least=part.at_least,
                p_value=p_value(found, part.at_least),
                part_verdict=verdict(found, part.at_least),
            )
            | found
        )
    return rows
