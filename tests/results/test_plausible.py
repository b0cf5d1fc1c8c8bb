"""Finite garbage is no measurement: refused with the bound that it breaks."""

import pandas as pd
import pytest

from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.results.written import edit_csv, folder_of, write_results


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, models=["vanilla", "compound-mixture"])


def metrics(results):
    return folder_of(results, "evaluations", "vanilla") / "metrics.csv"


def tables_of(results) -> dict[str, pd.DataFrame]:
    return write_tables(results, Plan.read(results))


def run_of(cells: pd.DataFrame, seed: int) -> pd.Series:
    return cells.set_index(["model", "seed"]).loc["vanilla", seed]


@pytest.mark.parametrize(
    "column,value,says",
    [
        ("reconstruction", -8e30, "reconstruction is -8e+30 nats, expected 0 to 6400"),
        ("reconstruction", 6401.0, "reconstruction is 6401 nats, expected 0 to 6400"),
        ("latent_kl", -0.5, "latent_kl is -0.5 nats, expected 0 to 6400"),
        ("negative_elbo", -1.0, "negative_elbo is -1 nats, expected 0 to 6400"),
    ],
)
def test_a_term_outside_of_its_bounds_is_a_failed_run(results, column, value, says):
    chosen = {"seed": 1, "split": "test", "mode": "default"}
    edit_csv(
        metrics(results),
        chosen,
        column,
        value,
    )
    tables = tables_of(results)
    broken = run_of(tables["cells"], 1)
    assert broken["status"] == "failed"
    assert broken["detail"] == f"implausible: {says} on test"
    assert run_of(tables["cells"], 0)["status"] == "finished"
    rows = tables["runs"].set_index(["model", "seed"]).loc[("vanilla", 1)]
    assert rows["reconstruction"].isna().all()


def test_pooled_images_have_fewer_pixels_to_cost_nats(results):
    run = folder_of(results, "runs", "vanilla") / "run.json"
    run.write_text(run.read_text().replace('"pool": 1', '"pool": 2'))
    chosen = {"seed": 1, "split": "test", "mode": "default"}
    edit_csv(metrics(results), chosen, "reconstruction", 1601.0)
    broken = run_of(tables_of(results)["cells"], 1)
    assert "reconstruction is 1601 nats, expected 0 to 1600" in broken["detail"]


def test_a_density_may_be_above_one(results):
    """-log p of grey pixels may be below 0."""
    run = folder_of(results, "runs", "vanilla") / "run.json"
    run.write_text(run.read_text().replace('"bernoulli"', '"continuous-bernoulli"'))
    chosen = {"seed": 1, "split": "test", "mode": "default"}
    edit_csv(
        metrics(results),
        chosen,
        "reconstruction",
        -60.0,
    )
    assert run_of(tables_of(results)["cells"], 1)["status"] == "finished"


@pytest.mark.parametrize(
    "column,shift,says",
    [
        ("log_px", -8e30, "log_px is -8e+30 nats, expected -6400 to "),
        ("log_px", 100.0, "log_px is "),
        ("elbo_optimal", -9.0, "the mean of elbo is above that of elbo_optimal by "),
        ("log_px", -9.0, "the mean of elbo_optimal is above that of log_px by 7.5"),
        ("log_px", -1.6, "the mean of elbo_optimal is above that of log_px by 0.1"),
        ("log_px", -1.4, ""),
    ],
)
def test_gaps_out_of_bounds_or_out_of_order_are_missing(results, column, shift, says):
    path = metrics(results).with_name("gaps.parquet")
    table = pd.read_parquet(path)
    table.loc[table["seed"] == 0, column] += shift
    table.to_parquet(path, index=False)
    run = run_of(tables_of(results)["cells"], 0)
    assert run["gap"] == ("missing" if says else "measured")
    assert ("implausible: " + says in run["gap_detail"]) == bool(says)
    assert run_of(tables_of(results)["cells"], 1)["gap"] == "measured"


def test_noise_may_be_out_of_order(results):
    """Within five standard errors of the mean over the images."""
    path = metrics(results).with_name("gaps.parquet")
    table = pd.read_parquet(path)
    first = table["seed"] == 0
    noise = [3.0, -3.1] * (first.sum() // 2)
    table.loc[first, "log_px"] = table.loc[first, "elbo_optimal"] + noise
    table.to_parquet(path, index=False)
    assert run_of(tables_of(results)["cells"], 0)["gap"] == "measured"
