"""The vocabulary, and that everything else follows it: a metric is one entry."""

import json
import subprocess
import sys

import pytest

from comvae.results.quantities import QUANTITIES, SPLITS, names, quantities_page
from tests.support import ROOT

PROGRAM = """
import json, sys
from pathlib import Path
from comvae.results.quantities import QUANTITIES, Quantity

NAME = "sharpness"
QUANTITIES[NAME] = Quantity(NAME, "Sharpness", unit="", better="higher")

from comvae.results.mlflow import track
from comvae.results.report import write_report
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training
from mlflow import MlflowClient
from tests.results.written import OPTIONS, block_of, write_block

results = Path(sys.argv[1])
TERMS = ["reconstruction", "latent_kl", "negative_elbo"]

def terms(seed, split, when):
    values = dict.fromkeys(TERMS, 5.0 + seed)
    if model == "vanilla" and split != "train-running":
        values[NAME] = 3.0 + seed
    if model == "vanilla" and split == "train-running":
        values["negative_bound"] = 4.0
    return values

blocks = []
for model in ("vanilla", "compound-mixture"):  # the second from before the metric
    training = Training(epochs=2)
    options = OPTIONS[model]
    config = RunConfig(
        dataset="digits", model=model, seeds=[0, 1], options=options, training=training
    )
    write_block(results, config, terms)
    blocks.append(block_of(config))
titles = {"vanilla": "Vanilla", "compound-mixture": "Compound"}
plan = Plan("t", ["digits"], titles, blocks, None)
tables = write_tables(results, plan)
summary = track(results)
assert (summary.imported, summary.skipped) == (4, {}), summary
client = MlflowClient(summary.uri)
[experiment] = [e for e in client.search_experiments() if e.name == "digits"]
runs = client.search_runs([experiment.experiment_id])
print(json.dumps({
    "cells": tables["cells"]["status"].tolist(),
    "runs": tables["runs"].astype(object).where(tables["runs"].notna(), None)
        .to_dict("records"),
    "table1": tables["table1"].query("metric == @NAME")[["model", "split", "mean"]]
        .values.tolist(),
    "mlflow": {run.info.run_name: run.data.metrics for run in runs},
    "report": write_report(results, plan)["table1"].read_text(),
}))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What a study shows of which one model has a metric that the other lacks."""
    results = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, results],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_metric_of_one_entry_is_a_column_of_runs(shown):
    assert shown["cells"] == ["finished"] * 4
    found = {
        (row["model"], row["seed"], row["split"]): row["sharpness"]
        for row in shown["runs"]
    }
    assert found["vanilla", 1, "test"] == 4 and found["vanilla", 0, "train"] == 3
    assert found["vanilla", 1, "train-running"] is None
    assert found["compound-mixture", 1, "test"] is None


def test_a_metric_of_one_entry_is_in_table1_where_it_was_measured(shown):
    assert shown["table1"] == [["vanilla", "train", 3.5], ["vanilla", "test", 3.5]]
    test, training = shown["report"].split("## digits, ")[2:0:-1]
    assert "| Sharpness |" in test and "3.50" in test and "| - |" in test
    assert "Sharpness" not in training


def test_a_metric_of_one_entry_is_in_mlflow(shown):
    runs = shown["mlflow"]
    assert runs["vanilla-digits-seed-1"]["test_sharpness"] == 4
    other = runs["compound-mixture-digits-seed-1"]
    assert "test_sharpness" not in other and other["test_negative_elbo"] == 6


def test_the_bound_of_an_objective_is_recorded_where_it_has_one(shown):
    """Here in the history alone, and so in the rows of the last epoch."""
    bounds = {
        (row["model"], row["split"]): row["negative_bound"] for row in shown["runs"]
    }
    assert bounds["vanilla", "train-running"] == 4
    assert bounds["vanilla", "test"] is bounds["compound-mixture", "test"] is None
    metrics = shown["mlflow"]["vanilla-digits-seed-0"]
    assert metrics["train_running_negative_bound"] == 4


def test_gaps_are_differences_of_what_is_stored():
    stored = [name for name in names("gap") if QUANTITIES[name].difference is None]
    gaps = set(names("gap")) - set(stored)
    assert {"approximation_gap", "amortization_gap", "inference_gap"} <= gaps
    for name in gaps:
        assert set(QUANTITIES[name].difference) <= set(stored)
        if "gap" in name:
            assert QUANTITIES[name].better == "lower"


def test_the_page_explains_every_quantity_and_split():
    page = quantities_page()
    for name, quantity in QUANTITIES.items():
        assert f"| `{name}`" in page and quantity.title in page
        assert quantity.description
    for name in SPLITS:
        assert f"| `{name}` |" in page
    assert (ROOT / "docs" / "quantities.md").read_text() == page, "run `make schemas`"


@pytest.mark.parametrize(
    "modules,absent",
    [
        ("quantities, comvae.results.paths", {"torch", "pandas", "pyarrow"}),
        ("index, comvae.results.tables, comvae.results.trail", {"torch", "mlflow"}),
        ("report, comvae.results.mlflow", {"torch", "mlflow"}),
    ],
)
def test_what_only_reads_needs_few_libraries(modules, absent):
    code = f"import sys, comvae.results.{modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert not absent & set(done.stdout.split())
