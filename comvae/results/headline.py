"""What a study says of the paper's own model, in one sentence with its intervals."""

from collections.abc import Mapping

import pandas as pd

from comvae.results.quantities import NATS
from comvae.results.statistics import effect, paired, with_interval
from comvae.results.tables.attribution import BASELINE, PARTS
from comvae.results.verdicts import verdict

MODEL = "compound-mixture"  # the paper's own, with all of its section 2
NAMES = dict(
    log_px="the generative model",
    approximation_gap="the approximation gap",
    amortization_gap_mean_weights="the amortization gap",
    weight_noise_gap="weight noise",
)
"""What the parts of a gain in ELBO are called in a sentence."""


def gain(
    runs: pd.DataFrame, attribution: pd.DataFrame | None, dataset: str, model: str
) -> pd.DataFrame:
    """The gain of a model over vanilla on test images in nats per image, plus is
    better: effect, ci_low, ci_high and n_seeds.

    Where gaps are measured on a dataset, the first row is the gain in ELBO on their
    images, with its parts below; elsewhere it is that on all test images, alone.
    """
    measured = None
    if attribution is not None:
        on = (attribution["dataset"] == dataset) & (attribution["split"] == "test")
        measured = attribution[on].dropna(subset="effect")
    if measured is None or measured.empty:
        terms = [(1.0, BASELINE, "test"), (-1.0, model, "test")]
        whole = effect(paired(runs, dataset, "negative_elbo", terms))
        return pd.DataFrame([whole], index=["elbo"])
    found = measured[measured["model"] == model].set_index("part")
    found = found.reindex(list(PARTS))[["effect", "ci_low", "ci_high", "n_seeds"]]
    return found.fillna({"n_seeds": 0})


def headline(runs: pd.DataFrame, attribution: pd.DataFrame | None, dataset: str) -> str:
    """By how much the paper's model beats vanilla on a dataset, or does not, and what
    that consists of. Empty where no seed of both is finished, or measured."""
    if not {MODEL, BASELINE} <= set(runs.loc[runs["dataset"] == dataset, "model"]):
        return ""
    found = gain(runs, attribution, dataset, MODEL)
    whole, parts = found.iloc[0], found.iloc[1:]
    if not whole["n_seeds"]:
        return ""
    size, half = abs(whole["effect"]), whole["ci_high"] - whole["effect"]
    amount = f"{with_interval(size, size + half, whole['n_seeds'])} {NATS}"
    says = {
        "supported": f"explains test images {amount} better than vanilla",
        "contradicted": f"explains test images {amount} worse than vanilla",
    }.get(
        verdict(whole),
        f"cannot be told from vanilla on test images ({_signed(whole)} {NATS})",
    )
    text = f"On {dataset}, the compound VAE {says}"
    if parts.empty:
        return f"{text}; no gaps are measured."
    of = [f"{_signed(part)} by {NAMES[name]}" for name, part in parts.iterrows()]
    return f"{text}: {', '.join(of[:-1])} and {of[-1]}; plus is better."


def rivals_headline(
    rivals: pd.DataFrame | None, titles: Mapping[str, str], dataset: str
) -> str:
    """Which model closes most of vanilla's amortization gap on test images, which of
    one pass does, where the compound model stands, and what each costs; of rivals.csv.

    Empty where vanilla or all others lack a gap.
    """
    if rivals is None:
        return ""
    here = rivals[rivals["dataset"] == dataset].set_index("model")
    others = here.drop(BASELINE, errors="ignore").dropna(subset="effect")
    if BASELINE not in here.index or others.empty:
        return ""
    cost = others["encode_seconds"] / here.loc[BASELINE, "encode_seconds"]

    def told(model: str) -> str:
        found = others.loc[model]
        doubt = " (inside the noise)" if verdict(found) == "inconclusive" else ""
        at = "" if pd.isna(cost[model]) else f" at {_times(cost[model])}"
        return f"{titles.get(model, model)}, {_signed(found)}{doubt}{at}"

    really = others[[verdict(found) == "supported" for _, found in others.iterrows()]]
    of_one_pass = really[~(really["decoder_evaluations"] > 0)]
    named: dict[str, str] = {}
    if not really.empty:
        named[really["effect"].idxmax()] = "narrowed most by "
    if not of_one_pass.empty:
        named.setdefault(of_one_pass["effect"].idxmax(), "in one pass most by ")
    if compound := [name for name in others.index if name.startswith("compound")]:
        named.setdefault(compound[0], "by " if named else "")
    parts = [f"{how}{told(model)}" for model, how in named.items()]
    if really.empty:
        parts.insert(0, "which no model really narrows")
    times = ", times are of vanilla's time to encode" if cost.notna().any() else ""
    return (
        f"On {dataset}, vanilla's amortization gap on test images is "
        f"{here.loc[BASELINE, 'amortization_gap']:.2f} {NATS}, {'; '.join(parts)}; "
        f"plus is narrower{times}."
    )


def _times(ratio: float) -> str:
    """`0.97 times`, `63 times`."""
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def _signed(found: pd.Series) -> str:
    text = with_interval(found["effect"], found["ci_high"], found["n_seeds"], "+")
    return text.replace("-", "\N{MINUS SIGN}")
