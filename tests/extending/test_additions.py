"""The examples of CONTRIBUTING.md, each made in a copy of the project as it is written
there: a small study with all of them shows each in tables, MLflow and dashboard."""

import math
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.blocks import blocks, make_edit
from tests.slow.support import copy_repository, make_study, run, table, write_study
from tests.support import ROOT

TOUCHED = {  # by section: what the table of CONTRIBUTING.md says
    "A model": {"config/models.yaml"},
    "A weight prior": {"comvae/model/priors.py", "config/models.yaml"},
    "An objective": {
        "comvae/model/beta.py",
        "comvae/model/options.py",
        "config/models.yaml",
    },
    "A posterior family": {
        "comvae/model/laplace.py",
        "comvae/model/options.py",
        "config/models.yaml",
    },
    "A metric": {"comvae/evaluation/metrics.py", "comvae/results/quantities.py"},
    "A dataset": {"comvae/datasets/flipped.py", "comvae/datasets/registry.yaml"},
    "A chart": {"dashboard/charts/cost.py", "dashboard/pages/table1.py"},
    "A claim": {"comvae/results/claims.py"},
}
NEW = ["vanilla-deep", "compound-laplace", "vanilla-beta", "vanilla-laplace"]
STUDY = {
    "study": "extended",
    "datasets": ["digits-flipped"],
    "models": ["vanilla", *NEW],
    "seeds": 2,
    "training": {"epochs": 2, "hidden": 8, "latent": 3},
    "gap": {"images": 8, "importance_draws": 400, "marginal_draws": 50, "ais": "off"},
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> tuple[Path, dict[str, set[str]]]:
    """A copy of the project with every addition, and the files of each."""
    folder = copy_repository(tmp_path_factory.mktemp("project"))
    for library in (ROOT / "comvae" / "engine" / "fused").glob("_native*.so"):
        shutil.copy(library, folder / library.relative_to(ROOT))
    touched: dict[str, set[str]] = {}
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        if block.edit:
            how, name = block.edit
            make_edit(folder / name, how, block.text)
            touched.setdefault(block.heading, set()).add(name)
    return folder, touched


@pytest.fixture(scope="module")
def finished(extended, tmp_path_factory) -> Path:
    """A folder with the results and the site of a study that has every addition."""
    project, _ = extended
    folder = tmp_path_factory.mktemp("study")
    code = {"PYTHONPATH": str(project)}
    study = write_study(folder, STUDY)
    done = make_study(folder, study, code=project, **code)
    assert done.returncode == 0, done.stdout
    command = ["python", "-m", "dashboard.render", "--output", "site"]
    written = run(command, folder, **code)
    assert written.returncode == 0, written.stdout
    return folder


def test_an_addition_touches_what_the_table_says(extended):
    assert extended[1] == TOUCHED


@pytest.mark.parametrize("model", NEW)
def test_a_new_model_is_in_the_tables(finished, model):
    rows = table(finished, "table1").query("model == @model and split == 'test'")
    assert set(rows["dataset"]) == {"digits-flipped"} and (rows["n_seeds"] == 2).all()
    assert rows["mean"].map(math.isfinite).all()
    test = "split == 'test' and model == @model"
    gaps = table(finished, "gaps").query(test).set_index("quantity")["mean"]
    assert gaps["elbo"] < gaps["elbo_optimal"] < gaps["log_px"] + 0.05
    negative_elbo = rows.set_index("metric").loc["negative_elbo", "mean"]
    assert gaps["elbo"] == pytest.approx(-negative_elbo, abs=2)  # of 8 images


def test_a_prior_without_a_kernel_is_said_to_be_slower(finished):
    [log] = finished.glob("logs/train/digits-flipped/compound-laplace/*/*.log")
    assert "no kernel for the weight prior" in log.read_text()


def test_a_bound_that_is_no_elbo_is_recorded(finished):
    runs = table(finished, "runs").set_index("model")
    bound = runs.loc["vanilla-beta", "negative_bound"]
    assert (bound > runs.loc["vanilla-beta", "negative_elbo"]).all()
    assert runs.loc["vanilla", "negative_bound"].isna().all()


def test_a_metric_is_in_tables_mlflow_and_pages(finished):
    rows = table(finished, "table1").query("metric == 'posterior_scale'")
    assert set(rows["model"]) == {"vanilla", *NEW}
    assert rows["mean"].between(0, 1.5, inclusive="neither").all()
    database = finished / "results" / "mlflow" / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("digits-flipped")
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == 2 * len(STUDY["models"])
    assert all("test_posterior_scale" in run.data.metrics for run in found)
    assert "Posterior scale" in (finished / "site" / "table-1.html").read_text("utf-8")


def test_a_dataset_is_fetched_and_verified(finished):
    recorded = finished / "results" / "datasets" / "digits-flipped" / "dataset.json"
    assert "left and right exchanged" in recorded.read_text("utf-8")


def test_a_chart_is_on_its_page(finished):
    page = (finished / "site" / "table-1.html").read_text("utf-8")
    assert "Cost and worth." in page and "cost" in page


def test_a_claim_is_judged(finished):
    claims = table(finished, "claims").set_index("claim")
    assert claims.loc["two-layers-beat-one", "verdict"] in {
        "holds here",
        "does not hold here",
        "inconclusive",
    }
    page = (finished / "site" / "claims.html").read_text("utf-8")
    assert "With two hidden layers" in page
