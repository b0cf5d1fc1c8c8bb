"""The paper's claims against the study: what is claimed, what is found, and a verdict.

A claim is an entry of CLAIMS, or of those of others; `verdict` is the one rule by which
all are judged, and those of a source on a dataset are corrected for being many.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from comvae.results import formats
from comvae.results.quantities import QUANTITIES, RUNNING
from comvae.results.statistics import (
    CONFIDENCE,
    Term,
    effect,
    holm,
    p_value,
    paired,
)
from comvae.study.plan import Plan

PAPER = "the paper"
OURS = "this project"
RIVALS = "the rivals' papers"
RESOLUTION = 0.02
"""Nats per image: the error that the estimators are tested to (docs/gap.md)."""
HERE = {"supported": "holds here", "contradicted": "does not hold here"}
"""What is said in place of a verdict where the study departs from the paper."""
VERDICTS = [
    *(word for pair in HERE.items() for word in pair),
    "inconclusive",
    "not run",
]


@dataclass(frozen=True)
class Part:
    """A sum over models that a claim says is greater than `at_least`, in nats."""

    split: str  # for the table; each term names its own
    metric: str  # a column of runs.csv
    terms: tuple[Term, ...]  # weight, model, split
    at_least: float = 0.0

    @property
    def definition(self) -> str:
        """The sum in words: `vanilla - compound-mixture on test`."""
        one_split = {split for _, _, split in self.terms} == {self.split}
        text = ""
        for weight, model, split in self.terms:
            sign = "-" if weight < 0 else "+"
            text += f" {sign} {model}" + ("" if one_split else f" {split}")
        return text.removeprefix(" + ") + (f" on {self.split}" if one_split else "")


@dataclass(frozen=True)
class Claim:
    """A claim is the conjunction of its parts; `source` says whose it is."""

    name: str
    statement: str
    parts: tuple[Part, ...]
    source: str = PAPER

    @property
    def models(self) -> set[str]:
        """Those that it is about."""
        return {model for part in self.parts for _, model, _ in part.terms}


def smaller(
    metric: str, model: str, than: str, split: str = "test", by: float = 0.0
) -> Part:
    """`metric` of `model` is smaller than that of another model by more than `by`."""
    return Part(split, metric, ((1, than, split), (-1, model, split)), by)


def larger(
    metric: str, model: str, than: str, split: str = "test", by: float = 0.0
) -> Part:
    """`metric` of `model` is larger than that of another model by more than `by`."""
    return Part(split, metric, ((1, model, split), (-1, than, split)), by)


def generalises(metric: str, model: str, than: str) -> Part:
    """`metric` of `model` grows less from training images to test images than that of
    another model does."""
    terms = ((1, than, "test"), (-1, than, "train"))
    return Part("test", metric, (*terms, (-1, model, "test"), (1, model, "train")))


def _needed(name: str, what: str, ablation: str) -> Claim:
    return Claim(
        f"{name}-needed",
        f"Without {what} the compound model with the mixture prior has a higher L_rec "
        "+ D_KL on test images.",
        (smaller("negative_elbo", "compound-mixture", than=ablation),),
    )


DBNN = "DBNN layers for the mean and the scale of z"
COLLAPSE = 5.0  # nats per image; the paper's collapse is one of 44 and more

CLAIMS = (
    Claim(
        "simplified-gaussian-beats-vanilla",
        "The simplified model with a Gaussian prior has a lower L_rec + D_KL than the "
        "vanilla VAE on test images.",
        (smaller("negative_elbo", "simplified-gaussian", than="vanilla"),),
    ),
    Claim(
        "simplified-mixture-beats-vanilla",
        "The simplified model with the mixture prior has a lower L_rec + D_KL than the "
        "vanilla VAE on test images.",
        (smaller("negative_elbo", "simplified-mixture", than="vanilla"),),
    ),
    Claim(
        "compound-mixture-beats-vanilla",
        "The compound model with the mixture prior has both a lower L_rec and a lower "
        "L_rec + D_KL than the vanilla VAE on test images.",
        (
            smaller("reconstruction", "compound-mixture", than="vanilla"),
            smaller("negative_elbo", "compound-mixture", than="vanilla"),
        ),
    ),
    Claim(
        "compound-gaussian-collapses",
        "The compound model with a Gaussian prior collapses on test images: its "
        f"L_rec + D_KL there is more than {COLLAPSE:g} nats above that of the vanilla "
        "VAE, it exceeds its own average over the last training epoch by more than "
        f"{COLLAPSE:g} nats more than the vanilla VAE's does, and its D_KL and the "
        "mutual information of images and latents are lower.",
        (
            smaller("latent_kl", "compound-gaussian", than="vanilla"),
            smaller("mutual_information", "compound-gaussian", than="vanilla"),
            smaller("negative_elbo", "vanilla", than="compound-gaussian", by=COLLAPSE),
            Part(
                "test",
                "negative_elbo",
                (
                    (1, "compound-gaussian", "test"),
                    (-1, "compound-gaussian", RUNNING),
                    (-1, "vanilla", "test"),
                    (1, "vanilla", RUNNING),
                ),
                COLLAPSE,
            ),
        ),
    ),
    _needed("dbnn-for-mu-and-sigma", DBNN, "compound-mixture-static-latent"),
    _needed("kl-reweighting", "KL reweighting", "compound-mixture-unweighted"),
    _needed("batch-norm", "batch norm", "compound-mixture-no-batchnorm"),
    Claim(
        "simplified-mixture-narrows-gap",
        "The simplified model with the mixture prior has a narrower amortization gap "
        "than the vanilla VAE on test images.",
        (smaller("amortization_gap", "simplified-mixture", than="vanilla"),),
    ),
    Claim(
        "compound-mixture-narrows-gap",
        "The compound model with the mixture prior has a narrower amortization gap "
        "than the vanilla VAE on test images.",
        (smaller("amortization_gap", "compound-mixture", than="vanilla"),),
    ),
)

OOD_CLAIMS = tuple(
    Claim(
        f"{model}-flags-foreign-images",
        f"The variance of the ELBO over the weight draws of {what} tells foreign "
        "images from test images better than vanilla's gap does (area under the ROC "
        "curve).",
        (Part("test", "foreign_own", ((1, model, "test"), (-1, "vanilla", "test"))),),
        OURS,
    )
    for model, what in (
        ("simplified-mixture", "the simplified model with the mixture prior"),
        ("compound-mixture", "the compound model with the mixture prior"),
        ("compound-mixture-rank-16", "the compound model with maps of rank 16"),
    )
)
"""Those of a study that names foreign datasets, `ood`."""

GAP = "amortization_gap"


def _rivals(name: str, whose: str, statement: str, *parts: Part) -> Claim:
    return Claim(name, f"{statement} ({whose}).", parts, RIVALS)


RIVAL_CLAIMS = (
    _rivals(
        "half-asleep-generalises",
        "Zhang, Hayes and Barber 2022",
        "With half-asleep training of its encoder vanilla has a narrower amortization "
        "gap on test images, also than with as much training on data alone, and on "
        "training images it narrows by less or not at all",
        smaller(GAP, "half-asleep", than="vanilla"),
        smaller(GAP, "half-asleep", than="wake"),
        generalises(GAP, "half-asleep", than="vanilla"),
    ),
    _rivals(
        "sa-vae-beats-svi",
        "Kim et al. 2018",
        "A VAE that is trained through 10 steps of SVI has a lower L_rec + D_KL on "
        "test images than vanilla with as many steps at test time",
        smaller("negative_elbo", "sa-vae", than="svi-10"),
    ),
    _rivals(
        "aggressive-raises-mutual-information",
        "He et al. 2019",
        "Aggressive training of its encoder raises vanilla's mutual information of "
        "test images and latents",
        larger("mutual_information", "aggressive", than="vanilla"),
    ),
    _rivals(
        "ia-vae-beats-vanilla",
        "Pollastro et al. 2026",
        "Encoder weights that a deterministic network adapts to each image give a "
        "lower L_rec + D_KL than vanilla's on test images, and a narrower "
        "amortization gap",
        smaller("negative_elbo", "ia-vae", than="vanilla"),
        smaller(GAP, "ia-vae", than="vanilla"),
    ),
    _rivals(
        "denoising-regularises-inference",
        "Shu et al. 2018",
        "Noise on its encoder's input gives vanilla a narrower amortization gap and a "
        "higher log p(x) on test images",
        smaller(GAP, "denoising", than="vanilla"),
        larger("log_px", "denoising", than="vanilla"),
    ),
    _rivals(
        "iwae-trades-inference-for-likelihood",
        "Burda et al. 2016, Rainforth et al. 2018",
        "The bound of 50 importance weights raises log p(x) of test images over "
        "vanilla's, and widens the amortization gap",
        larger("log_px", "iwae-50", than="vanilla"),
        larger(GAP, "iwae-50", than="vanilla"),
    ),
    _rivals(
        "flow-beats-vanilla",
        "Rezende and Mohamed 2015",
        "A normalising flow as the posterior gives a lower L_rec + D_KL on test images "
        "than vanilla's Gaussian",
        smaller("negative_elbo", "flow", than="vanilla"),
    ),
)
"""Those that are judged where a study has every model that they are about."""


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


SOURCES = {claim.name: claim.source for claim in (*OOD_CLAIMS, *RIVAL_CLAIMS)}


def of_source(claim: str) -> str:
    """Whose claim it is, by its name."""
    return SOURCES.get(claim, PAPER)


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
