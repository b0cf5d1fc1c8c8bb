"""Imports into a real MLflow server on PostgreSQL: nothing lost, nothing doubled."""

from pathlib import Path

import pytest

from comvae.results.mlflow import TrackingError, track
from tests.results.written import folder_of
from tests.slow.server import importers, stored
from tests.slow.server.server import mlflow_server
from tests.slow.support import wait_for

HOSTS = 8
FINISHED = [
    (f"{model}-digits-seed-{seed}", "FINISHED")
    for model in ("compound-mixture", "vanilla")
    for seed in (0, 1)
]


def shown_by_sqlite(results: Path) -> dict[str, dict]:
    """What an import into the default store shows."""
    track(results)
    return stored.content(f"sqlite:///{results}/mlflow/mlflow.db")


def counts(summary) -> tuple[int, int, int]:
    return summary.imported, summary.replaced, summary.unchanged


def test_a_server_shows_what_the_default_store_shows(server, results):
    assert counts(track(results, uri=server.uri)) == (4, 0, 0)
    assert not (results / "mlflow").exists(), "a server needs no file of the results"
    assert server.content() == shown_by_sqlite(results)
    assert counts(track(results, uri=server.uri)) == (0, 0, 4)
    pictures = folder_of(results, "evaluations", "vanilla", "seeds-0-1") / "pictures"
    picture = pictures / "seed-1-samples.png"
    picture.write_bytes(b"redrawn")
    assert counts(track(results, uri=server.uri)) == (0, 1, 3)
    assert server.content() == shown_by_sqlite(results)


def test_eight_hosts_at_once_lose_and_double_nothing(server, results, tmp_path):
    folders = importers.copies(results, tmp_path / "hosts", HOSTS)
    processes, said = importers.start(folders, server.uri)
    summaries = [each.recv() for each in said]
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * HOSTS
    assert server.active_runs() == FINISHED
    assert server.content() == shown_by_sqlite(results)
    for summary in summaries:
        assert summary.imported + summary.unchanged == 4, summary
    assert sum(summary.imported for summary in summaries) >= 4
    assert not any((folder / "mlflow").exists() for folder in folders)
    assert counts(track(results, uri=server.uri)) == (0, 0, 4)


def test_importers_killed_in_the_middle_leave_nothing_behind(server, results, tmp_path):
    folders = importers.copies(results, tmp_path / "hosts", HOSTS)
    processes, said = importers.start(folders, server.uri)
    wait_for(
        lambda: "RUNNING" in dict(server.active_runs()).values(),
        "nothing is imported",
        pause=0,
    )
    for process in processes[::2]:
        process.kill()
    for each in said[1::2]:
        each.recv()  # the others go on to the end
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [-9, 0] * (HOSTS // 2)
    assert set(FINISHED) <= set(server.active_runs())
    track(results, uri=server.uri)
    assert server.active_runs() == FINISHED
    assert server.content() == shown_by_sqlite(results)


def test_a_deleted_experiment_comes_back_on_eight_hosts(server, results, tmp_path):
    from mlflow import MlflowClient

    track(results, uri=server.uri)
    there = MlflowClient(server.uri)
    there.delete_experiment(there.get_experiment_by_name("digits").experiment_id)
    assert server.active_runs() == []
    folders = importers.copies(results, tmp_path / "hosts", HOSTS)
    processes, said = importers.start(folders, server.uri)
    assert {counts(each.recv()) for each in said} == {(0, 0, 4)}
    for process in processes:
        process.join(timeout=60)
    assert server.active_runs() == FINISHED


def test_authentication_is_that_of_mlflow(tmp_path, results, monkeypatch):
    """Through the environment alone; the password stands nowhere in what is written."""
    password = "correct-horse-battery"
    folder = tmp_path / "server"
    database = f"sqlite:///{folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with mlflow_server(
        database,
        folder,
        "--app-name=basic-auth",
        MLFLOW_AUTH_ADMIN_PASSWORD=password,
        MLFLOW_FLASK_SERVER_SECRET_KEY="of this test",
    ) as uri:
        with pytest.raises(TrackingError, match="set MLFLOW_TRACKING_USERNAME"):
            track(results, uri=uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"not-{password}")
        with pytest.raises(TrackingError, match="refuses this user") as refused:
            track(results, uri=uri)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        summary = track(results, uri=uri)
    assert counts(summary) == (4, 0, 0)
    assert stored.active_runs(database) == FINISHED
    assert password not in f"{refused.value} {summary}"
    written = [path for path in results.rglob("*") if path.is_file()]
    assert not [path for path in written if password.encode() in path.read_bytes()]
