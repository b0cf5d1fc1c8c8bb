"""The sentence that the study exists for: gain of the paper's model, and its parts."""

import numpy as np
import pandas as pd
import pytest

from comvae.results.headline import gain, headline
from comvae.results.tables.attribution import PARTS

MODELS = ("vanilla", "compound-mixture", "simplified-mixture")


def runs(**shifts: float) -> pd.DataFrame:
    """Three seeds of each model; a shift is added to the loss of its model."""
    noise = [0.0, 1.0, 2.0]
    rows = [
        dict(dataset="d", model=model, seed=seed, split="test")
        | {"negative_elbo": 20.0 + noise[seed] + shifts.get(model.split("-")[0], 0.0)}
        for model in MODELS
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def attribution(effects: dict[str, float], n_seeds: int = 3) -> pd.DataFrame:
    rows = [
        dict(dataset="d", model="compound-mixture", split="test", part=part)
        | dict(effect=effect, ci_low=effect - 0.1, ci_high=effect + 0.1)
        | dict(n_seeds=n_seeds)
        for part, effect in effects.items()
    ]
    return pd.DataFrame(rows)


MEASURED = dict(zip(PARTS, (-1.0, 0.3, -0.2, -0.5, -0.6), strict=True))


def test_a_loss_is_told_with_its_parts():
    said = headline(runs(), attribution(MEASURED), "d")
    assert said == (
        "On d, the compound VAE explains test images 1.00 ± 0.10 nats per image worse "
        "than vanilla: +0.30 ± 0.10 by the generative model, \u22120.20 ± 0.10 by the "
        "approximation gap, \u22120.50 ± 0.10 by the amortization gap and "
        "\u22120.60 ± 0.10 by weight noise; plus is better."
    )


@pytest.mark.parametrize(
    "shift,says",
    [
        (-2.0, "explains test images 2.00 ± 0.00 nats per image better than vanilla"),
        (2.0, "explains test images 2.00 ± 0.00 nats per image worse than vanilla"),
        (0.01, "cannot be told from vanilla on test images (\u22120.01 ± 0.00 nats"),
    ],
)
def test_without_gaps_it_is_the_gain_on_all_test_images(shift, says):
    said = headline(runs(compound=shift), None, "d")
    assert says in said and said.endswith("no gaps are measured.")


def test_one_seed_tells_nothing():
    one = runs(compound=-2.0).query("seed == 0")
    assert "cannot be told from vanilla on test images (+2.00 nats" in headline(
        one, None, "d"
    )


@pytest.mark.parametrize("missing", ["vanilla", "compound-mixture"])
def test_without_one_of_the_two_there_is_no_sentence(missing):
    assert headline(runs().query("model != @missing"), None, "d") == ""


def test_where_gaps_are_measured_a_model_without_them_has_no_gain():
    """A column has one quantity: no gain on other images stands in for it."""
    table = attribution(MEASURED)
    found = gain(runs(), table, "d", "simplified-mixture")
    assert list(found.index) == list(PARTS)
    assert found["effect"].isna().all() and (found["n_seeds"] == 0).all()
    table["effect"] = np.nan
    assert len(gain(runs(), table, "d", "simplified-mixture")) == 1
