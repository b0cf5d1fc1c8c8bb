"""Folders of results with an MLflow store."""

import shutil

import pytest

from comvae.results.mlflow import track
from tests.results.mlflow.blocks import write_study


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An MLflow database without runs: MLflow takes seconds to create one."""
    results = tmp_path_factory.mktemp("empty")
    track(results)
    return results / "mlflow" / "mlflow.db"


@pytest.fixture
def results(tmp_path, empty_store):
    """A folder of results without runs, with an empty MLflow store."""
    folder = tmp_path / "results" / "mlflow"
    folder.mkdir(parents=True)
    shutil.copy(empty_store, folder)
    return folder.parent


@pytest.fixture(scope="module")
def imported(tmp_path_factory, empty_store):
    """A results folder with four runs, imported once; tests only read it."""
    results = write_study(tmp_path_factory.mktemp("a study") / "results")
    (results / "mlflow").mkdir()
    shutil.copy(empty_store, results / "mlflow")
    return results, track(results)
