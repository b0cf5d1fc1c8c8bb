"""The three findings of the first page: which model, is it real, and is it the gap?"""

from dataclasses import dataclass

import pandas as pd

from comvae.results.headline import MODEL
from comvae.results.headline import gain as gain_over_vanilla
from comvae.results.tables.attribution import BASELINE
from comvae.results.verdicts import best_models, verdict
from dashboard.decomposition import AT_MEANS, NOISE
from dashboard.study import Study
from dashboard.summary import METRIC, compared
from dashboard.text import counted, effect_text, listed, number, signed

CHANGES = {  # by whether there is a gain, and whether the gap narrows
    (True, "supported"): "{part} of {gain} nats",
    (True, "inconclusive"): "None shown: {part} of {gain} nats",
    (True, "contradicted"): "None: the gap is wider",
    (False, "supported"): "No gain, though a narrower gap",
    (False, "inconclusive"): "No gain to explain",
    (False, "contradicted"): "No gain, and a wider gap",
}


Finding = tuple[str, str]  # the answer in a few words, and what stands behind it


@dataclass(frozen=True)
class Lead:
    """The lowest mean on test images, and who cannot be told apart from it."""

    model: str
    rivals: list[str]
    means: pd.Series  # by model, lowest first


def lead(runs: pd.DataFrame, dataset: str, leave_out: set[str]) -> Lead | None:
    """The leader in test negative ELBO among the models that have a finished run."""
    here = runs[(runs["dataset"] == dataset) & (runs["split"] == "test")]
    here = here[~here["model"].isin(leave_out)]
    means = here.groupby("model")[METRIC].mean().dropna().sort_values()
    if means.empty:
        return None
    rivals = compared(here[here["model"].isin(means.index)].dropna(subset=METRIC))
    best = best_models(rivals, dataset, "test", METRIC, set(means.index))
    first, *others = means.index
    return Lead(first, [model for model in others if model in best], means)


def candidate(found: Lead) -> str | None:
    """The paper's own model, which the headline is about; without a finished run the
    best that is not vanilla itself."""
    others = [model for model in found.means.index if model != BASELINE]
    return MODEL if MODEL in others else next(iter(others), None)


def best_model(study: Study, runs: pd.DataFrame, dataset: str, found: Lead) -> Finding:
    """Which model has the lowest test negative ELBO, and is it alone?"""
    here = runs[(runs["dataset"] == dataset) & (runs["split"] == "test")]
    n_seeds = here.loc[here["model"] == found.model, METRIC].notna().sum()
    lowest = (
        f"{study.title(found.model)} has the lowest test negative ELBO, "
        f"{number(found.means.iloc[0])} nats per image ({counted(n_seeds, 'seed')}; "
        "lower is better)"
    )
    if len(found.means) == 1:
        alone = f"{lowest}. It is the only one with a finished run."
        return study.title(found.model), alone
    if not found.rivals:
        real = f"{lowest}. Its paired difference to every other model is real."
        return study.title(found.model), real
    names = [study.title(model) for model in found.rivals]
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    rivals = f"{lowest}, but it cannot be told apart from {listed(names)}."
    return "No single winner", rivals


def against_vanilla(
    study: Study,
    runs: pd.DataFrame,
    attribution: pd.DataFrame | None,
    dataset: str,
    model: str | None,
) -> Finding:
    """Is a model's difference to vanilla real?"""
    if model is None:
        text = "Only vanilla has a finished run: nothing can be compared with it."
        return "Nothing to compare", text
    gain = gain_over_vanilla(runs, attribution, dataset, model).iloc[0]
    name, found = study.title(model), verdict(gain)
    if gain["n_seeds"] == 0:
        text = f"{name} and the vanilla VAE have no finished seed in common, or one "
        return "Cannot be told", f"{text}of them has no measured gaps."
    answers = {
        "supported": "Yes",
        "contradicted": "No: vanilla is better",
        "inconclusive": "Not shown",
    }
    effect = effect_text(gain["effect"], gain["ci_low"], gain["ci_high"])
    text = (
        f"{name} gains {effect} nats per image over vanilla in test ELBO (95% "
        f"interval, paired over {counted(gain['n_seeds'], 'seed')}); plus is better."
    )
    if found == "inconclusive":
        if gain["n_seeds"] < 2:
            text += " One seed has no interval."
        else:
            text += " That is inside the noise, or too small to be told from 0."
    return answers[found], text


def amortization(
    study: Study,
    runs: pd.DataFrame,
    attribution: pd.DataFrame | None,
    dataset: str,
    model: str | None,
) -> Finding:
    """How much of the gain over vanilla is a narrower amortization gap?"""
    if not study.measures_gaps:
        text = "This study measures no gaps: its setting gap.images is 0."
        return "Not measured", text
    parts = gain_over_vanilla(runs, attribution, dataset, model or "")
    if len(parts) == 1 or parts["effect"].isna().any():
        name = "this model" if model is None else study.title(model)
        text = f"There are no measured gaps of {name} beside those of vanilla."
        return "Not measured", text
    gain, part = parts.loc["elbo"], parts.loc[AT_MEANS]
    answer = CHANGES[verdict(gain) == "supported", verdict(part)].format(
        part=signed(part["effect"]), gain=signed(gain["effect"])
    )
    interval = effect_text(part["effect"], part["ci_low"], part["ci_high"])
    text = (
        "An encoder's q(z|x) loses something against the best Gaussian of each image. "
        f"Of the change in ELBO, {signed(gain['effect'])} nats, this makes {interval} "
        "with the weights at their means, and drawing them "
        f"{signed(parts.loc[NOISE, 'effect'])}; plus is better than vanilla."
    )
    return answer, text


def cost(study: Study, runs: pd.DataFrame, dataset: str, model: str | None) -> Finding:
    """How many parameters and how much time a model takes beside vanilla."""
    here = runs[(runs["dataset"] == dataset) & (runs["split"] == "test")]
    means = here.groupby("model")[["parameters", "train_seconds"]].mean()
    if model is None or not {model, BASELINE} <= set(means.index):
        return "Nothing to compare", "There is no other model beside vanilla."
    own, vanilla = means.loc[model], means.loc[BASELINE]
    size, time = own / vanilla
    text = (
        f"{study.title(model)} has {own['parameters']:,.0f} parameters where vanilla "
        f"has {vanilla['parameters']:,.0f}; a seed of it trains for "
        f"{own['train_seconds']:.1f} s, one of vanilla for "
        f"{vanilla['train_seconds']:.1f} s."
    )
    return f"{size:,.0f} times the parameters, {time:,.0f} times the time", text
