"""What a study says of the paper's own model, in one sentence with its intervals."""

import pandas as pd

from comvae.results.claims import verdict
from comvae.results.quantities import NATS
from comvae.results.statistics import effect, paired, with_interval
from comvae.results.tables.attribution import BASELINE, PARTS

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


def _signed(found: pd.Series) -> str:
    text = with_interval(found["effect"], found["ci_high"], found["n_seeds"], "+")
    return text.replace("-", "\N{MINUS SIGN}")
