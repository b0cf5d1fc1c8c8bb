"""The dashboard's page Runs on a real MLflow server, which keeps the artifacts."""

import json

from comvae.results.mlflow import track
from dashboard import artifacts, tracking
from dashboard.mlflow_store import find_store
from tests.dashboard.test_dashboard import charts, own_main_module, show, text

__all__ = ["own_main_module"]  # a fixture
NAME = "vanilla-digits-seed-1"


def test_a_run_on_a_server(server, results, monkeypatch):
    (results / "study.json").write_text(json.dumps({"tracking_uri": server.uri}))
    monkeypatch.setenv("COMVAE_RESULTS", str(results))
    track(results, uri=server.uri)
    app = show("runs", run=NAME, order="lowest")
    assert len(app.dataframe[0].value) == 4 and len(charts(app)) == 3
    assert not app.warning and "make mlflow" not in text(app)
    store = find_store(results)
    run = tracking.open_run(store, NAME)
    [link] = app.get("link_button")
    place = f"{server.uri}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    assert link.proto.url == place
    listed = {each.path: each for each in artifacts.listed(store, run)}
    assert len(listed) == 4
    for name in ("run.json", "gaps.parquet", "pictures/seed-1-samples.png"):
        path = next(results.glob(f"*/digits/vanilla/*/{name}"))
        assert artifacts.load(store, run, listed[path.name]) == path.read_bytes()
    assert not (results / "mlflow").exists()
