"""One PostgreSQL and one MLflow server for all of these tests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.results.written import write_results
from tests.slow.server import stored
from tests.slow.server.server import mlflow_server, postgresql


@dataclass(frozen=True)
class Server:
    """A server, and where it keeps what it is given."""

    uri: str
    database: str
    artifacts: Path

    def active_runs(self) -> list[tuple[str, str]]:
        """Name and status of each run that a user can see."""
        return stored.active_runs(self.database)

    def content(self) -> dict[str, dict]:
        """All of each run by its name, which stands once."""
        return stored.content(self.database, self.artifacts)


@pytest.fixture(scope="session")
def running(tmp_path_factory) -> Iterator[Server]:
    """A server on PostgreSQL that serves artifacts."""
    folder = tmp_path_factory.mktemp("server")
    with postgresql() as database, mlflow_server(database, folder) as uri:
        yield Server(uri, database, folder / "artifacts")


@pytest.fixture
def server(running) -> Server:
    """That server, without the runs of the tests before."""
    from mlflow import MlflowClient

    there = MlflowClient(running.uri)
    if experiment := there.get_experiment_by_name("digits"):
        number = experiment.experiment_id
        there.rename_experiment(number, f"of an earlier test, {number}")
        there.delete_experiment(number)
    return running


@pytest.fixture
def results(tmp_path) -> Path:
    """A finished study of four runs, with gaps and pictures."""
    results = write_results(
        tmp_path / "results", models=("vanilla", "compound-mixture"), seeds=(0, 1)
    )
    for path in results.glob("runs/*/*/*/*/training.json"):
        moment = {"finished_at": "2026-01-02T03:04:05+00:00"}
        path.write_text(json.dumps(json.loads(path.read_text()) | moment))
    return results
