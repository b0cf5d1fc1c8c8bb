"""The parts of a gain in ELBO: they add up, pair seeds, and narrower is better."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from comvae.results.formats import ATTRIBUTION, RUNS
from comvae.results.tables.attribution import PARTS, attribution
from comvae.study.plan import Plan

MODELS = {"vanilla": "Vanilla", "compound-mixture": "Compound", "other": "Other"}
PLAN = Plan("t", ["digits"], MODELS, [], None, 100)


def row(model, seed, split, elbo, at_means, optimal, log_px):
    return dict(
        dataset="digits",
        model=model,
        seed=seed,
        split=split,
        elbo=elbo,
        elbo_mean_weights=at_means,
        elbo_optimal=optimal,
        log_px=log_px,
        approximation_gap=log_px - optimal,
        amortization_gap=optimal - elbo,
        amortization_gap_mean_weights=optimal - at_means,
        weight_noise_gap=at_means - elbo,
        inference_gap=log_px - elbo,
    )


def table_of(rows):
    return pd.DataFrame(rows, columns=RUNS.columns)


@pytest.fixture
def runs():
    random = np.random.default_rng(3)
    rows = []
    for model in ("vanilla", "compound-mixture"):
        for seed in range(5):
            for split in ("train", "test"):
                levels = np.sort(-30 + 10 * random.random(4))
                rows.append(row(model, seed, split, *levels))
    return table_of(rows)


def test_the_parts_add_up_exactly(runs):
    table = attribution(PLAN, runs)
    assert list(table.columns) == ATTRIBUTION.columns
    parts = table.set_index(["model", "split", "part"])["effect"].unstack("part")
    parts = parts.loc["compound-mixture"]
    total = parts.drop(columns="elbo").sum(axis=1)
    np.testing.assert_allclose(total, parts["elbo"], rtol=0, atol=1e-12)
    assert len(parts) == 2 and (parts["elbo"].abs() > 1e-3).all()


def test_a_gain_is_split_by_hand():
    """log p(x) falls by 1, the approximation gap narrows by 0.5, amortization at mean
    weights by 2.25, and drawing the weights costs 0.25."""
    rows = []
    for seed in (0, 1):
        rows.append(row("vanilla", seed, "test", -104, -104, -101, -100))
        rows.append(
            row("compound-mixture", seed, "test", -102.5, -102.25, -101.5, -101)
        )
    table = attribution(PLAN, table_of(rows))
    found = table[table["split"] == "test"].set_index(["model", "part"])["effect"]
    assert found["compound-mixture"].to_dict() == {
        "elbo": 1.5,
        "log_px": -1,
        "approximation_gap": 0.5,
        "amortization_gap_mean_weights": 2.25,
        "weight_noise_gap": -0.25,
    }


def test_intervals_are_of_paired_differences(runs):
    table = attribution(PLAN, runs).set_index(["model", "split", "part"])
    for part, sign in PARTS.items():
        test = runs[runs["split"] == "test"].set_index("model")[part].astype(float)
        expected = stats.ttest_rel(
            sign * test["compound-mixture"], sign * test["vanilla"]
        ).confidence_interval(0.95)
        found = table.loc["compound-mixture", "test", part]
        assert found["ci_low"] == pytest.approx(expected.low)
        assert found["ci_high"] == pytest.approx(expected.high)
        assert found["n_seeds"] == 5


def test_seeds_of_one_model_alone_do_not_count(runs):
    fewer = runs[~((runs["model"] == "vanilla") & (runs["seed"] > 2))]
    table = attribution(PLAN, fewer).set_index("model")
    assert (table.loc["compound-mixture", "n_seeds"] == 3).all()


def test_a_model_without_gaps_has_rows_without_effect(runs):
    table = attribution(PLAN, runs).set_index("model")
    assert "vanilla" not in table.index
    other = table.loc["other"]
    assert len(other) == 2 * len(PARTS)
    assert (other["n_seeds"] == 0).all() and other["effect"].isna().all()
