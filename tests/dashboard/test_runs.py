"""The page Runs: a real MLflow store, and every way in which there is none."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest

from comvae.results.mlflow import track
from comvae.results.mlflow.store import analyse
from dashboard import artifacts, tracking
from dashboard.mlflow_store import find_store
from tests.dashboard.test_dashboard import (
    FEW,
    ROOT,
    charts,
    own_main_module,
    results,
    show,
    table,
    text,
)
from tests.dashboard.test_pages import answers, buttons, write_study
from tests.results.written import GAP_IMAGES, value

__all__ = ["own_main_module", "results"]  # fixtures
FIRST = "vanilla-digits-seed-0"
KEPT_TAGS = ("model", "dataset", "seed", "comvae.digest", "mlflow.runName")
LOST = ("digits", "compound-mixture", 1)


@pytest.fixture(scope="module")
def tracked_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "results"
    write_study(folder, failed=[LOST])
    track(folder)
    return folder


@pytest.fixture
def tracked(tracked_once, results):
    """Results of three models, with a run that failed, and their MLflow store."""
    return Path(shutil.copytree(tracked_once, results))


@contextmanager
def changed(results):
    """The database of the store, to change it."""
    path = results / "mlflow" / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        yield database
        database.commit()


def state(folder):
    """Every file of a folder, as it is on disk."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def found(app):
    """The table of runs."""
    return app.dataframe[0].value


def pairs(app, head):
    """The table whose first column is `head`, as a mapping."""
    for place in range(len(app.table)):
        shown = table(app, place)
        if shown.columns[0] == head:
            return dict(zip(shown[head], shown["Value"], strict=True))
    raise AssertionError(f"no table of {head}")


def links(app):
    return [(link.proto.label, link.proto.url) for link in app.get("link_button")]


# All results


def test_every_run_is_listed(tracked):
    app = show("runs")
    assert "Runs 1 to 9: all that were found." in text(app)
    shown = found(app).set_index(["model", "seed"])
    assert shown["status"].value_counts().to_dict() == {"finished": 8, "failed": 1}
    expected = value(0, 2, "negative_elbo", "test")
    assert shown.loc[("Vanilla VAE", 2), "test_negative_elbo"] == pytest.approx(
        expected
    )
    images = sum(GAP_IMAGES) / len(GAP_IMAGES)
    assert shown.loc[("Vanilla VAE", 0), "test_amortization_gap"] == pytest.approx(
        2 + 0.1 * images
    )
    assert not answers(app) and not charts(app) and not app.warning
    assert app.query_params == {}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"of": "vanilla"}, 3),
        ({"of": "vanilla", "with": "1"}, 1),
        ({"status": "FAILED"}, 1),
        ({"status": "FAILED", "of": "vanilla"}, 0),
        ({"of": "<b>", "with": "x", "status": "?", "from": "z"}, 9),
        ({"dataset": "' or 1", "measure": "`", "order": "-"}, 9),
    ],
)
def test_what_is_asked_for_is_found(tracked, query, count):
    app = show("runs", **query)
    assert count == (len(found(app)) if app.dataframe else 0)
    if count == 0:
        assert "No run is like that." in text(app)


@pytest.mark.parametrize(
    ("low", "high"), [("25.2", "25.75"), ("25.5", None), (None, "25.5"), ("1e9", None)]
)
@pytest.mark.parametrize("split", ["test", "train"])
def test_a_range_of_a_metric(tracked, low, high, split):
    cells = [(p, s) for p in range(3) for s in range(3) if (p, s) != (2, 1)]
    values = [value(place, seed, "negative_elbo", split) for place, seed in cells]
    bounds = float(low or "-inf"), float(high or "inf")
    query = {"measure": f"{split}_negative_elbo", "from": low, "to": high}
    app = show("runs", **{key: bound for key, bound in query.items() if bound})
    shown = found(app)[query["measure"]].tolist() if app.dataframe else []
    expected = [v for v in values if bounds[0] <= v <= bounds[1]]
    assert sorted(shown) == pytest.approx(sorted(expected))


def test_the_metric_gives_the_order(tracked):
    lowest = found(show("runs", order="lowest"))["test_negative_elbo"].dropna()
    assert lowest.is_monotonic_increasing and len(lowest) == 8
    highest = found(show("runs", order="highest"))["test_negative_elbo"].dropna()
    assert highest.is_monotonic_decreasing


def test_a_nonsense_range_is_refused(tracked):
    app = show("runs", **{"from": "30", "to": "20"})
    assert "no value is at least 30 and at most 20" in text(app)
    assert not app.dataframe and len(app.error) == 1


def test_choosing_a_row_opens_its_run(tracked):
    app = show("runs", order="lowest")
    names = found(app)
    key = app.dataframe[0].key
    app.session_state[key] = {"selection": {"rows": [3], "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    row = names.iloc[3]
    assert answers(app) == [f"{row['model']}, seed {row['seed']}"]
    assert app.query_params["run"].endswith(f"-digits-seed-{row['seed']}")
    app.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": []}}
    app.run()
    assert not answers(app) and "run" not in app.query_params


def test_the_opened_run_follows_the_browsers_back(tracked):
    app = show("runs", run=FIRST)
    assert answers(app) == ["Vanilla VAE, seed 0"]
    app.query_params["run"] = "simplified-mixture-digits-seed-1"
    app.run()
    assert answers(app) == ["Simplified, mixture prior, seed 1"]
    app.query_params.clear()
    app.run()
    assert not answers(app) and not app.exception


def test_an_opened_run_shows_all_that_mlflow_knows(tracked):
    app = show("runs", run="simplified-mixture-digits-seed-2")
    assert answers(app) == ["Simplified, mixture prior, seed 2"]
    assert "digits, simplified-mixture, seed 2: finished" in text(app)
    assert pairs(app, "Setting")["training.epochs"] == "3"
    metric = pairs(app, "Metric")["test_negative_elbo"]
    assert float(metric) == pytest.approx(
        value(1, 2, "negative_elbo", "test"), abs=1e-3
    )
    assert pairs(app, "Tag")["model"] == "simplified-mixture"
    assert len(charts(app)) == 4  # with the weight KL
    assert all("from" in chart.proto.alt for chart in charts(app))
    assert "How to read it" in text(app)
    [(label, address)] = links(app)
    assert label == "Open in MLflow"
    store = find_store(tracked)
    run = tracking.open_run(store, "simplified-mixture-digits-seed-2")
    assert address == (
        f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    )
    assert any("mlflow ui" in code.value for code in app.code)
    assert app.get("page_link")


def test_the_curves_are_those_of_the_files(tracked):
    store = find_store(tracked)
    run = tracking.open_run(store, FIRST)
    path = next(tracked.glob("runs/digits/vanilla/*/history.csv"))
    expected = pd.read_csv(path).query("seed == 0").drop(columns="seed")
    shown = tracking.history(store, run.run_id)
    pd.testing.assert_frame_equal(
        shown.reset_index(drop=True), expected[shown.columns].reset_index(drop=True)
    )


def test_the_code_fetches_the_run(tracked, tmp_path):
    app = show("runs", run=FIRST)
    [code] = [code.value for code in app.code if "import mlflow" in code.value]
    before = state(tracked)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    params, metrics, curve = map(eval, done.stdout.splitlines())
    assert params["training.epochs"] == "3"
    expected = value(0, 0, "negative_elbo", "test")
    assert metrics["test_negative_elbo"] == pytest.approx(expected)
    assert sorted(curve) == [1, 2, 3]
    assert curve[3] == pytest.approx(value(0, 0, "negative_elbo", "train-running") + 10)
    assert state(tracked) == before


def test_artifacts_are_saved_byte_for_byte(tracked):
    """Also where the results were moved, as these were."""
    app = show("runs", run=FIRST)
    names = [label.replace("\\", "") for label in buttons(app)]
    assert any(name.startswith("run.json (") for name in names)
    store = find_store(tracked)
    run = tracking.open_run(store, FIRST)
    listed = {each.path: each for each in artifacts.listed(store, run)}
    places = {
        "run.json": "runs",
        "gaps.parquet": "evaluations",
        "pictures/seed-0-samples.png": "evaluations",
        "pictures/seed-0-reconstructions.png": "evaluations",
    }
    assert set(listed) == {Path(name).name for name in places}
    for name, kind in places.items():
        path = next(tracked.glob(f"{kind}/digits/vanilla/*/{name}"))
        assert artifacts.load(store, run, listed[path.name]) == path.read_bytes()
        assert listed[path.name].size == path.stat().st_size


def test_artifacts_never_leave_their_folder(tracked):
    store = find_store(tracked)
    run = tracking.open_run(store, FIRST)
    secret = tracked.parent / "secret.txt"
    secret.write_text("secret")
    folder = next(tracked.glob(f"mlflow/artifacts/*/{run.run_id}/artifacts"))
    (folder / "link.txt").symlink_to(secret)
    assert "link.txt" not in {each.path for each in artifacts.listed(store, run)}
    with changed(tracked) as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (tracked.parent.as_uri(),))
        database.execute("UPDATE tags SET value = '../..' WHERE key = 'dataset'")
    app = show("runs", run=FIRST)
    assert "secret" not in text(app) + " ".join(buttons(app))


def test_deleted_artifacts_say_how_to_get_them(tracked):
    shutil.rmtree(tracked / "mlflow" / "artifacts")
    app = show("runs", run=FIRST)
    assert "`python -m comvae track` uploads them again" in text(app)
    assert pairs(app, "Setting")


def test_a_failed_run_says_why(tracked):
    app = show("runs", run="compound-mixture-digits-seed-1")
    assert "failed. negative_elbo is nan" in app.error[0].value.replace("\\", "")
    assert "MLflow holds no infinities, so it lacks train_running" in text(app)
    assert len(charts(app)) == 4


def test_a_half_imported_run_says_so(tracked):
    with changed(tracked) as database:
        database.execute("UPDATE runs SET status = 'RUNNING' WHERE name = ?", (FIRST,))
    app = show("runs", run=FIRST)
    assert "its import has not ended" in app.warning[0].value.replace("\\", "")


@pytest.mark.parametrize("name", ["no-such-digits-seed-0", "' or 1 or '", "a'b\"c", ""])
def test_an_unknown_run_is_no_error(tracked, name):
    app = show("runs", run=name)
    assert f"MLflow knows no run {name}" in text(app)
    assert len(found(app)) == 9


def test_text_from_mlflow_is_never_markup(tracked):
    evil = "<script>x</script> ![i](http://e) **b** $x$ :red[r]"
    with changed(tracked) as database:
        keys = ("comvae.failure", "device", "comvae.non_finite")
        for key in keys:
            database.execute("UPDATE tags SET value = ? WHERE key = ?", (evil, key))
    app = show("runs", run="compound-mixture-digits-seed-1")
    assert "<script>x</script>" in text(app)
    kinds = ("header", "markdown", "caption", "warning", "error")
    shown = [each for kind in kinds for each in getattr(app, kind)]
    assert all(not getattr(each, "allow_html", False) for each in shown)
    cells = [str(cell) for each in app.table for cell in each.value.to_numpy().flat]
    for words in [each.value for each in shown] + cells:
        for markup in ("<script", "![i", "**b", "$x", ":red["):
            at = words.find(markup)
            assert at < 0 or words[at - 1] == "\\"


# Partial results


@pytest.mark.parametrize("exists", [True, False])
def test_no_results_say_what_to_run(results, exists):
    if exists:
        results.mkdir()
    app = show("runs")
    assert "There are no results in" in text(app)
    assert app.code[0].value == "make study"
    assert results.exists() == exists and (not exists or not list(results.iterdir()))


def test_one_finished_block(results):
    write_study(results, missing=[("digits", model) for model in FEW[1:]])
    track(results)
    app = show("runs")
    assert found(app)["model"].eq("Vanilla VAE").all() and len(found(app)) == 3


def test_a_store_without_runs(results):
    write_study(results, missing=[("digits", model) for model in FEW])
    track(results)
    assert "MLflow knows no run yet" in text(show("runs"))


# Without a store


def test_a_missing_store_is_named_and_not_made(results):
    write_study(results)
    before = state(results)
    app = show("runs")
    words = text(app)
    assert "mlflow/mlflow.db: there is no MLflow store here" in words
    assert f"python -m comvae track --results {results}" in words
    assert app.get("page_link")[0].proto.label == "One run, from its files"
    assert state(results) == before
    assert table(show("run"))["Split"].iloc[0] == "Test"


def damage(results, kind):
    path = results / "mlflow" / "mlflow.db"
    if kind == "junk":
        path.write_bytes(b"this is no database" * 1000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other":
        path.unlink()
        with changed(results) as database:
            database.execute("CREATE TABLE pictures (name TEXT)")
    elif kind == "schema":
        with changed(results) as database:
            database.execute("UPDATE alembic_version SET version_num = '0123abcd'")
    elif kind == "tables":
        with changed(results) as database:
            database.execute("DROP TABLE latest_metrics")
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


@pytest.mark.parametrize("kind", ["junk", "empty", "other", "schema", "tables", "cut"])
def test_a_store_that_cannot_be_read_is_named_and_left_alone(tracked, kind):
    damage(tracked, kind)
    before = state(tracked)
    app = show("runs", run=FIRST)
    assert "mlflow.db" in app.warning[0].value.replace("\\", "")
    words = text(app)
    assert "comvae track" in words or "import again" in words
    assert "nothing is lost" in words
    assert not charts(app)
    assert app.get("page_link")
    assert state(tracked) == before
    assert charts(show("table1")) and charts(show("run"))


def test_a_locked_store_is_named(tracked):
    with changed(tracked) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert "another program has locked it" in text(show("runs"))
    assert len(found(show("runs"))) == 9


def test_a_store_that_comes_back_is_shown(results, tracked_once):
    write_study(results)
    app = show("runs")
    assert "there is no MLflow store here" in text(app)
    shutil.copytree(tracked_once / "mlflow", results / "mlflow")
    app.run()
    assert len(found(app)) == 9 and not app.warning


def name_store(results, uri):
    path = results / "study.json"
    plan = json.loads(path.read_text()) | {"tracking_uri": uri}
    path.write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://user:secret@127.0.0.1:9", "the MLflow server cannot be reached"),
        (
            "postgresql://user:secret@127.0.0.1/db",
            "look at this store with `mlflow ui`",
        ),
        ("sqlite:///no/such/folder/runs.db", "there is no MLflow store here"),
        ("no address", "look at this store with `mlflow ui`"),
    ],
)
def test_a_store_elsewhere_that_is_not_there(results, uri, says):
    write_study(results)
    name_store(results, uri)
    app = show("runs")
    assert says in text(app) and "secret" not in text(app)
    assert app.get("page_link") and not Path("no").exists()


def test_the_store_that_the_study_names(tracked, tmp_path):
    folder = tmp_path / "another place #1 50%? ok"
    folder.mkdir()
    (tracked / "mlflow" / "mlflow.db").rename(folder / "runs.db")
    (tracked / "mlflow" / "artifacts").rename(folder / "artifacts")
    name_store(tracked, f"sqlite:///{folder}/runs.db")
    app = show("runs", run=FIRST)
    assert len(found(app)) == 9 and len(charts(app)) == 3
    assert any("run.json" in label.replace("\\", "") for label in buttons(app))
    assert sorted(path.name for path in folder.iterdir()) == ["artifacts", "runs.db"]


# Many runs, and speed


def test_ten_thousand_runs(tracked):
    with changed(tracked) as database:
        copy_run(database, 10_000)
    analyse(tracked / "mlflow" / "mlflow.db")  # as every import does
    app = show("runs", of="vanilla", order="lowest")
    assert "Runs 1 to 100, and there are more." in text(app)
    assert found(app)["test_negative_elbo"].iloc[0] == pytest.approx(0)
    app.number_input(key="part").set_value(2).run()
    assert "Runs 101 to 200, and there are more." in text(app)
    assert found(app)["test_negative_elbo"].iloc[0] == pytest.approx(0.1)
    app.selectbox(key="order").set_value("highest").run()
    assert "Runs 1 to 100, and there are more." in text(app)
    app = show("runs", of="vanilla", order="lowest", part="101")
    assert "Runs 10001 to 10003: all that were found." in text(app)
    assert "There is no part 900" in text(show("runs", part="900"))
    app = show("runs", **{"from": "9.9005", "to": "9.9995"})
    assert len(found(app)) == 99
    app = show("runs", **{"with": "1077"})
    assert found(app)["seed"].tolist() == [1077]
    app = show("runs", run="vanilla-digits-seed-1077")
    assert answers(app) == ["Vanilla VAE, seed 1077"]


def copy_run(database, count):
    """Copies of one run whose metric is 0, 0.001, …, as `comvae track` writes them."""
    where = "WHERE run_uuid = (SELECT run_uuid FROM runs WHERE name = ?)"
    for name in ("runs", "tags", "latest_metrics"):
        kept = {
            "runs": "",
            "tags": f"AND key IN {KEPT_TAGS}",
            "latest_metrics": "AND key = 'test_negative_elbo'",
        }[name]
        found = database.execute(f"SELECT * FROM {name} {where} {kept}", (FIRST,))
        columns = [column[0] for column in found.description]
        rows = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
        database.executemany(
            f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})",
            (
                tuple(copied(name, row, i)[column] for column in columns)
                for i in range(count)
                for row in rows
            ),
        )


def copied(name, row, i):
    changes = {"run_uuid": f"{i:032x}"}
    if name == "runs":
        changes["name"] = f"vanilla-digits-seed-{1000 + i}"
    elif row["key"] == "mlflow.runName":
        changes["value"] = f"vanilla-digits-seed-{1000 + i}"
    elif name == "latest_metrics":
        changes["value"] = i / 1000
    elif row["key"] == "seed":
        changes["value"] = str(1000 + i)
    return row | changes


def test_an_import_tells_sqlite_how_large_the_tables_are(tracked):
    """Else the order by a metric takes minutes with 10,000 runs."""
    with changed(tracked) as database:
        rows = database.execute("SELECT DISTINCT tbl FROM sqlite_stat1").fetchall()
    assert {("runs",), ("latest_metrics",), ("tags",)} <= set(rows)


def test_only_this_page_imports_mlflow(tracked):
    code = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file('dashboard/app.py', default_timeout=120).run()\n"
        "pages = ('run', 'table1', 'provenance', 'runs')\n"
        "for page in pages:\n"
        "    print(page, 'mlflow' in sys.modules)\n"
        "    app.switch_page(f'views/{page}.py').run()\n"
        "    assert not app.exception, app.exception\n"
        "print('end', 'mlflow' in sys.modules, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"COMVAE_RESULTS": str(tracked)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *("run False", "table1 False", "provenance False", "runs False"),
        "end True False",
    ]
