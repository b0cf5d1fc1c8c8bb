"""The three findings of the first page: which model, is it real, and is it the gap?"""

from dataclasses import dataclass

import pandas as pd

from comvae.results.claims import best_models, verdict
from comvae.results.headline import gain as gain_over_vanilla
from dashboard.decomposition import AT_MEANS, GAIN, MAIN_GAP, NOISE
from dashboard.study import Study
from dashboard.summary import METRIC, compared
from dashboard.text import counted, effect_text, listed, number, signed

BASELINE = "vanilla"
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
    """The best model that is not vanilla itself."""
    return next((model for model in found.means.index if model != BASELINE), None)


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
    """Is the best model's difference to vanilla real?"""
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
    measured = f"(95% interval, paired over {counted(gain['n_seeds'], 'seed')})"
    if gain["effect"] > 0:
        text = f"{name} gains {effect} nats per image over vanilla in test ELBO "
        text += f"{measured}."
    else:
        text = f"{name} comes closest, but gains nothing: {effect} nats per image in "
        text += f"test ELBO {measured}, where minus is worse than vanilla."
    if found == "inconclusive":
        if gain["n_seeds"] < 2:
            text += " One seed has no interval."
        else:
            text += " That is inside the noise, or too small to be told from 0."
    return answers[found], text


def amortization(
    study: Study,
    attribution: pd.DataFrame | None,
    gaps: pd.DataFrame | None,
    dataset: str,
    model: str | None,
) -> Finding:
    """How much of the gain over vanilla is a narrower amortization gap?"""
    if not study.measures_gaps:
        text = "This study measures no gaps: its setting gap.images is 0."
        return "Not measured", text
    parts = _parts(attribution, dataset, model)
    if parts is None:
        name = "this model" if model is None else study.title(model)
        text = f"There are no measured gaps of {name} beside those of vanilla."
        return "Not measured", text
    gain, part = parts.loc["elbo"], parts.loc[AT_MEANS]

    def interval(row: pd.Series) -> str:
        return effect_text(row["effect"], row["ci_low"], row["ci_high"])

    def change(name: str) -> str:
        return signed(parts.loc[name, "effect"])

    answer = CHANGES[verdict(gain) == "supported", verdict(part)].format(
        part=signed(part["effect"]), gain=signed(gain["effect"])
    )
    text = "What an encoder loses against the best Gaussian of each image"
    vanilla, own = (_of_gap(gaps, dataset, name) for name in (BASELINE, model))
    if vanilla is not None and own is not None:
        text += (
            f" is {number(vanilla['mean'])} nats per image in vanilla and "
            f"{number(own['mean'])} in {study.title(model)}"
        )
    text += (
        ". Of the change in ELBO, "
        f"{interval(gain)}, this gap makes {interval(part)} with the weights at their "
        f"means, the weight noise {change(NOISE)}, the model itself, log p(x), "
        f"{change('log_px')}, and the approximation gap "
        f"{change('approximation_gap')}; plus is better than vanilla."
    )
    if own is None:
        return answer, f"{text} Measured on the images of the gaps."
    images = f"{own['images']:.0f} test images"
    return answer, f"{text} Measured on {images}, with fresh samples of z."


def _parts(
    attribution: pd.DataFrame | None, dataset: str, model: str | None
) -> pd.DataFrame | None:
    if attribution is None or model is None:
        return None
    here = attribution[
        (attribution["dataset"] == dataset)
        & (attribution["model"] == model)
        & (attribution["split"] == "test")
    ].set_index("part")
    if not set(GAIN) <= set(here.index) or here.loc[GAIN, "effect"].isna().any():
        return None
    return here


def _of_gap(gaps: pd.DataFrame | None, dataset: str, model: str) -> pd.Series | None:
    """The amortization gap of a model on test images, if it is measured."""
    if gaps is None:
        return None
    here = gaps[
        (gaps["dataset"] == dataset)
        & (gaps["model"] == model)
        & (gaps["split"] == "test")
        & (gaps["quantity"] == MAIN_GAP)
    ].dropna(subset="mean")
    return here.iloc[0] if len(here) else None
