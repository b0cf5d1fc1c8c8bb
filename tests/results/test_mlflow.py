"""The MLflow mirror: complete, idempotent, rebuilt from the files at any time."""

import json
import math
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import zlib
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from comvae.cli import app
from comvae.errors import ComvaeError, ResultsError, SettingsError
from comvae.results.mlflow import TrackingError, find_blocks, track
from comvae.results.mlflow.note import failed_import, note_path
from comvae.study.loading import load_study
from comvae.study.run_config import RunConfig
from tests.results import written
from tests.results.written import folder_of
from tests.support import ROOT

pytest.importorskip("mlflow", reason="needs the extra `tracking`")

TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]
EPOCHS = 3
# How the import keeps order among its runs; another import writes other values.
OWN_TAGS = ("comvae.generation", "comvae.import")


def value(seed, *parts):
    """A number that tells every cell of the synthetic tables apart."""
    return 100 * seed + zlib.crc32(repr(parts).encode()) / 2**32


def terms(seed, split, when):
    parts = (when,) if split == "train-running" else (split, when)
    return {term: value(seed, term, *parts) for term in TERMS}


def write_block(results, model, seeds, failed=None):
    """A finished block as its stages leave it; returns its folder."""
    config = written.config_of(model, seeds, EPOCHS)
    files = written.write_block(
        results,
        config,
        terms,
        failed=failed,
        git_commit="0123abc",
        device="cpu",
        train_seconds=20.0,
        parameters=4711,
        versions={"torch": "2.14.1"},
        finished_at="2026-01-02T03:04:05+00:00",
    )
    for seed in seeds:
        for kind in ("reconstructions", "samples"):
            path = files.evaluation / "pictures" / f"seed-{seed}-{kind}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{model} {seed} {kind}".encode())
    return files.run


def write_gaps(results, model="vanilla", seeds=(0, 1)):
    """The gaps of a block as `comvae gap` leaves them; returns their path."""
    config = written.config_of(model, seeds, EPOCHS)
    folder = written.evaluation_of(results, written.block_of(config))
    written.write_gaps(folder, seeds, place=0)
    return folder / "gaps.parquet"


def write_study(results):
    write_block(results, "vanilla", [0, 1])
    write_block(results, "compound-mixture", [0, 1])
    return results


def client(results):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow/mlflow.db")


def active_runs(results):
    """The active runs of all experiments, by name; a name stands once."""
    there = client(results)
    ids = [experiment.experiment_id for experiment in there.search_experiments()]
    runs = there.search_runs(ids)
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs), sorted(run.info.run_name for run in runs)
    return by_name


def ids(results):
    return {name: run.info.run_id for name, run in active_runs(results).items()}


def content(results):
    """All that a user can read from the store, but for ids and places."""
    there, found = client(results), {}
    for name, run in active_runs(results).items():
        run_id = run.info.run_id
        artifacts = {
            file.path: Path(there.download_artifacts(run_id, file.path)).read_bytes()
            for file in there.list_artifacts(run_id)
        }
        history = {
            metric: [
                (m.step, m.value, m.timestamp)
                for m in there.get_metric_history(run_id, metric)
            ]
            for metric in run.data.metrics
        }
        tags = {k: v for k, v in run.data.tags.items() if k not in OWN_TAGS}
        times = run.info.status, run.info.start_time, run.info.end_time
        found[name] = (run.data.params, history, tags, artifacts, times)
    return found


def edit(path, old, new):
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1))


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


def test_a_run_holds_settings_history_metrics_tags_and_artifacts(imported):
    results, summary = imported
    assert (summary.imported, summary.skipped) == (4, {})
    found = content(results)
    assert set(found) == {
        f"{model}-digits-seed-{seed}"
        for model in ("compound-mixture", "vanilla")
        for seed in (0, 1)
    }
    params, history, tags, artifacts, times = found["compound-mixture-digits-seed-1"]
    assert params["training.epochs"] == str(EPOCHS)
    assert params["training.learning_rate"] == "0.001"
    assert params["options.weight_prior.kind"] == "mixture"
    assert params["options.batch_norm_maps"] == "true"
    assert params["data.binarize"] == "none"
    assert params["parameters"] == "4711"
    points = history["train_running_latent_kl"]
    assert [(step, v) for step, v, _ in points] == [
        (epoch, value(1, "latent_kl", epoch)) for epoch in (1, 2, 3)
    ]
    for metric, parts in {
        "test_negative_elbo": ("negative_elbo", "test", "default"),
        "train_reconstruction": ("reconstruction", "train", "default"),
        "test_weight_kl_mean_weights": ("weight_kl", "test", "mean-weights"),
    }.items():
        assert [(s, v) for s, v, _ in history[metric]] == [(EPOCHS, value(1, *parts))]
    assert history["train_seconds"][0][1] == 10.0  # 20 s of a block of two seeds
    config = RunConfig.model_validate_json(artifacts["run.json"])
    assert (config.model, config.seeds) == ("compound-mixture", [0, 1])
    expected = {
        "dataset": "digits",
        "model": "compound-mixture",
        "seed": "1",
        "block": "seeds-0-1",
        "config_hash": config.config_hash,
        "git_commit": "0123abc",
        "device": "cpu",
        "version.torch": "2.14.1",
    }
    assert expected.items() <= tags.items()
    assert set(artifacts) == {
        "run.json",
        "seed-1-reconstructions.png",
        "seed-1-samples.png",
    }
    assert artifacts["seed-1-samples.png"] == b"compound-mixture 1 samples"
    status, start, end = times
    assert (status, end - start) == ("FINISHED", 20_000)
    assert end == 1767323045000  # 2026-01-02T03:04:05Z
    assert "test_weight_kl_mean_weights" not in found["vanilla-digits-seed-1"][1]


@pytest.mark.parametrize("page,queries", [("docs/mlflow.md", 3), ("README.md", 1)])
def test_the_queries_of_the_documentation_answer(
    page, queries, imported, tmp_path, monkeypatch
):
    results, _ = imported
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    blocks = [block for block in code if "print(" in block]
    assert len(blocks) == queries
    # The page is written for the root of the repository.
    (tmp_path / "results").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert sorted(names["runs"]["tags.seed"]) == ["0", "1"]
    assert set(names["runs"]["tags.model"]) == {"compound-mixture"}
    # value() grows with the seed and is the same for all models.
    lowest = value(0, "negative_elbo", "test", "default")
    assert names["best"].data.metrics["test_negative_elbo"] == lowest
    seed = int(names["best"].data.tags["seed"])
    assert names["curve"] == {
        epoch: value(seed, "negative_elbo", epoch) for epoch in (1, 2, 3)
    }


def test_importing_twice_changes_nothing(results):
    write_study(results)
    track(results)
    before, run_ids = content(results), ids(results)
    stamp = {path: path.stat().st_mtime_ns for path in results.rglob("*.png")}
    summary = track(results)
    assert (summary.imported, summary.replaced, summary.unchanged) == (0, 0, 4)
    assert ids(results) == run_ids
    assert content(results) == before
    assert {p: p.stat().st_mtime_ns for p in results.rglob("*.png")} == stamp
    # Some of the blocks are imported; the runs of the others stay.
    track(results, [folder_of(results, "runs", "vanilla", "seeds-0-1")])
    assert ids(results) == run_ids


@pytest.mark.parametrize("lost", [".", "mlflow.db", "artifacts"])
def test_a_lost_store_is_rebuilt(results, lost):
    write_study(results)
    track(results)
    before = content(results)
    path = results / "mlflow" / lost
    path.unlink() if path.is_file() else shutil.rmtree(path)
    summary = track(results)
    assert summary.imported + summary.repaired == 4
    assert content(results) == before
    # Nothing is left behind by the store that was lost, and nothing was written to
    # the deleted file, which open connections would still reach.
    assert len(list((results / "mlflow").rglob("*.png"))) == 8
    with sqlite3.connect(results / "mlflow" / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (4,)


def test_a_changed_source_replaces_its_runs_alone(results):
    write_study(results)
    track(results)
    before = ids(results)
    metrics = folder_of(results, "evaluations", "vanilla", "seeds-0-1") / "metrics.csv"
    old = repr(value(0, "negative_elbo", "test", "default"))
    edit(metrics, old, "1.5")
    summary = track(results)
    assert (summary.replaced, summary.unchanged) == (1, 3)
    after = active_runs(results)
    changed = {name for name in after if after[name].info.run_id != before[name]}
    assert changed == {"vanilla-digits-seed-0"}
    [name] = changed
    assert after[name].data.metrics["test_negative_elbo"] == 1.5
    # The old run comes back, as after an import cut off before its deletion.
    client(results).restore_run(before[name])
    track(results)
    assert ids(results)[name] == after[name].info.run_id
    # A picture that changed counts as well.
    picture = metrics.parent / "pictures" / "seed-1-samples.png"
    picture.write_bytes(b"redrawn")
    assert track(results).replaced == 1
    assert content(results)["vanilla-digits-seed-1"][3][picture.name] == b"redrawn"


def test_gaps_are_metrics_and_an_artifact(results):
    write_study(results)
    path = write_gaps(results)
    track(results)
    runs = active_runs(results)
    values = pd.DataFrame(
        [written.gap_value(0, 1, "test", image) for image in written.GAP_IMAGES]
    ).mean()
    metrics = runs["vanilla-digits-seed-1"].data.metrics
    assert metrics["test_log_px"] == pytest.approx(values["log_px"])
    gap = values["elbo_optimal"] - values["elbo"]
    assert metrics["test_amortization_gap"] == pytest.approx(gap)
    for name in (
        "train_inference_gap",
        "train_approximation_gap",
        "test_elbo_marginal",
    ):
        assert math.isfinite(metrics[name])
    found = content(results)
    assert found["vanilla-digits-seed-1"][3]["gaps.parquet"] == path.read_bytes()
    without = runs["compound-mixture-digits-seed-1"]
    assert "test_log_px" not in without.data.metrics
    assert "gaps.parquet" not in found["compound-mixture-digits-seed-1"][3]
    assert track(results).unchanged == 4
    # Measured later, or again: the runs of that block alone are replaced.
    write_gaps(results, "compound-mixture")
    summary = track(results)
    assert (summary.replaced, summary.unchanged) == (2, 2)
    assert "test_log_px" in (
        active_runs(results)["compound-mixture-digits-seed-1"].data.metrics
    )
    assert track(results).unchanged == 4


@pytest.mark.parametrize("damage", ["bytes", "one seed"])
def test_runs_without_usable_gaps_are_imported_all_the_same(results, damage):
    write_study(results)
    path = write_gaps(results)
    if damage == "bytes":
        path.write_bytes(b"no table")
    else:
        table = pd.read_parquet(path)
        table[table["seed"] == 0].to_parquet(path)
    assert track(results).imported == 4
    runs = active_runs(results)
    lost = runs["vanilla-digits-seed-1"].data
    assert "test_log_px" not in lost.metrics and "test_negative_elbo" in lost.metrics
    kept = runs["vanilla-digits-seed-0"].data
    assert ("test_log_px" in kept.metrics) == (damage == "one seed")
    assert ("damaged" in lost.tags.get("comvae.gaps", "")) == (damage == "bytes")
    assert "gaps.parquet" not in content(results)["vanilla-digits-seed-1"][3]


def test_runs_vanish_with_their_block(results):
    write_study(results)
    track(results)
    shutil.rmtree(results / "runs" / "digits" / "vanilla")
    summary = track(results)
    assert (summary.removed, summary.unchanged) == (2, 2)
    assert {run.data.tags["model"] for run in active_runs(results).values()} == {
        "compound-mixture"
    }


def test_an_interrupted_import_is_repaired(results):
    write_study(results)
    artifacts = results / "mlflow" / "artifacts"
    artifacts.write_text("a file where a folder is needed ends the import half-way")
    with pytest.raises(TrackingError, match=re.escape(str(artifacts))):
        track(results)
    [half] = active_runs(results).values()
    assert half.info.status == "RUNNING"
    assert half.data.params
    artifacts.unlink()
    summary = track(results)
    assert (summary.imported, summary.replaced) == (4, 0)
    assert half.info.run_id not in ids(results).values()
    assert {r.info.status for r in active_runs(results).values()} == {"FINISHED"}


def test_failed_seeds_and_values_that_are_not_finite(results):
    reason = "reconstruction is nan in epoch 2"
    block = write_block(results, "vanilla", [0, 1], failed={1: reason})
    history = block / "history.csv"
    for epoch, bad in ((2, ""), (3, "inf")):  # pandas writes NaN as an empty cell
        edit(history, repr(value(1, "reconstruction", epoch)), bad)
    metrics = folder_of(results, "evaluations", "vanilla", "seeds-0-1") / "metrics.csv"
    edit(metrics, repr(value(0, "weight_kl", "test", "default")), "-inf")
    track(results)
    runs = active_runs(results)
    sound, failed = runs["vanilla-digits-seed-0"], runs["vanilla-digits-seed-1"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["comvae.failure"] == reason
    name = "train_running_reconstruction"
    assert failed.data.tags["comvae.non_finite"] == f"{name} (2 from epoch 2)"
    points = client(results).get_metric_history(failed.info.run_id, name)
    assert [(m.step, m.value) for m in points] == [(1, value(1, "reconstruction", 1))]
    assert sound.info.status == "FINISHED"
    assert "test_weight_kl" not in sound.data.metrics
    assert sound.data.tags["comvae.non_finite"] == "test_weight_kl (1 from epoch 3)"
    for run in runs.values():
        assert all(math.isfinite(v) and v < 1e6 for v in run.data.metrics.values())
    assert track(results).unchanged == 2


def test_a_block_whose_seeds_all_failed_needs_no_evaluation(results):
    write_block(results, "vanilla", [0, 1], failed={0: "is inf", 1: "is nan"})
    shutil.rmtree(results / "evaluations")
    assert track(results).imported == 2
    assert {r.info.status for r in active_runs(results).values()} == {"FAILED"}


def test_two_imports_at_once_into_a_fresh_store_double_nothing(tmp_path):
    results = write_study(tmp_path / "results")
    program = (
        "import pathlib, sys, comvae.results.mlflow as tracking;"
        "print(tracking.track(pathlib.Path(sys.argv[1])))"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, results],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    # One line each: no migration log, no warning.
    assert [len(text.splitlines()) for text in said] == [1, 1], said
    assert "0 imported, 0 replaced, 0 repaired, 4 unchanged" in said[0]
    assert "4 imported, 0 replaced, 0 repaired, 0 unchanged" in said[1]
    assert len(active_runs(results)) == 4


def test_unfinished_and_damaged_blocks_are_skipped_with_a_reason(results):
    for model in ("vanilla", "simplified-gaussian", "compound-gaussian"):
        write_block(results, model, [0])
    missing = folder_of(results, "evaluations", "vanilla", "seeds-0") / "metrics.csv"
    missing.unlink()
    short = folder_of(results, "runs", "simplified-gaussian", "seeds-0") / "history.csv"
    short.write_text("\n".join(short.read_text().splitlines()[:-1]) + "\n")
    other = folder_of(results, "runs", "compound-gaussian", "seeds-0") / "run.json"
    edit(other, '"epochs": 3', '"epochs": 4')
    summary = track(results)
    assert len(summary.skipped) == 3
    text = str(summary)
    assert f"{missing} is missing" in text
    assert f"{short}: found 2 epochs of seed 0, expected each of 1 to 3" in text
    assert f"{other.with_name('training.json')}: is of config" in text
    for path in find_blocks(results):
        assert summary.skipped[str(path)].startswith(str(results))


def test_two_blocks_with_the_same_run_are_refused(results):
    write_block(results, "vanilla", [0, 1])
    write_block(results, "vanilla", [1, 2])
    with pytest.raises(ResultsError, match="seeds-1-2: holds seed 1 of vanilla"):
        track(results)


def test_results_that_were_moved_keep_their_runs(results, tmp_path):
    write_study(results)
    track(results)
    before, run_ids = content(results), ids(results)
    client(results).set_tag(run_ids["vanilla-digits-seed-0"], "note", "by hand")
    moved = results.rename(tmp_path / "moved")
    assert track(moved).unchanged == 4
    assert ids(moved) == run_ids and not results.exists()
    found = content(moved)
    assert found["vanilla-digits-seed-0"][2].pop("note") == "by hand"
    assert found == before


def test_a_copy_owns_nothing_of_the_original(results, tmp_path):
    """Not even for MLflow's garbage collection, as docs/mlflow.md has it."""
    write_study(results)
    track(results)
    before = content(results)
    copy = shutil.copytree(results, tmp_path / "copy")
    for model in ("vanilla", "compound-mixture"):
        shutil.rmtree(copy / "runs" / "digits" / model)
    assert track(copy).removed == 4
    [command] = re.findall(
        r"`(mlflow gc .*?)`", (ROOT / "docs" / "mlflow.md").read_text()
    )
    own = copy / "mlflow" / "mlflow.db"
    command = command.replace("results/mlflow/mlflow.db", str(own))
    done = subprocess.run(
        [Path(sys.executable).parent / "mlflow", *shlex.split(command)[1:]],
        env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
    )
    assert done.returncode == 0
    assert not list((copy / "mlflow" / "artifacts").rglob("*.png"))
    assert content(results) == before


def test_a_locked_store_is_waited_for_and_its_holder_named(results, monkeypatch):
    write_study(results)
    database = results / "mlflow" / "mlflow.db"
    hold = (
        "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1]);"
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True);"
        "time.sleep(float(sys.argv[2]))"
    )

    def holder(seconds):
        command = [sys.executable, "-c", hold, database, str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    with holder(1.0):
        assert track(results).imported == 4
    monkeypatch.setattr("comvae.results.mlflow.store.LOCKED", 0.2)
    with holder(60) as process:
        with pytest.raises(TrackingError, match=f"process {process.pid} .*end it"):
            track(results)
        process.kill()


def test_a_deleted_experiment_comes_back_without_doubles(results):
    write_study(results)
    track(results)
    there = client(results)
    there.delete_experiment(there.get_experiment_by_name("digits").experiment_id)
    assert active_runs(results) == {}
    track(results)
    assert len(active_runs(results)) == 4


def test_another_store_loses_no_run_of_other_results(tmp_path, empty_store):
    (tmp_path / "shared").mkdir()
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'shared')}"
    here = write_study(tmp_path / "here")
    track(here, uri=uri)
    there = tmp_path / "there"
    write_block(there, "simplified-mixture", [0, 1])
    summary = track(there, uri=uri)
    assert (summary.imported, summary.removed) == (2, 0)
    from mlflow import MlflowClient

    shared = MlflowClient(uri)
    experiment = shared.get_experiment_by_name("digits")
    assert len(shared.search_runs([experiment.experiment_id])) == 6
    assert not (here / "mlflow").exists()


@pytest.fixture(scope="module")
def answering():
    """The address of a server whose answer is the status that its path begins with."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            page = b"<html>\n<p>Welcome</p>\n</html>" * 50
            self.send_response(int(self.path.split("/")[1]))
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ftp://me:secret@nowhere/x", "MLflow cannot use it"),
        ("postgresql://me:secret@127.0.0.1:9/db", "cannot use it .*refused"),
        ("http://me:secret@127.0.0.1:9", "cannot be reached .*Connection refused"),
        (
            "http://me:secret@no.such.host.invalid",
            "cannot be reached .*Failed to",
        ),
        ("https://me:secret@ANSWERING/200", "cannot be reached .*SSL"),
        ("http://me:secret@ANSWERING/200", "what answers there is no MLflow server"),
        ("http://me:secret@ANSWERING/404", "no MLflow server .HTTP status 404"),
        (
            "http://me:secret@ANSWERING/401",
            "refuses this user; set MLFLOW_",
        ),
        ("http://me:secret@ANSWERING/403", "forbids it .*allowed-hosts"),
        ("http://me:secret@ANSWERING/500", "fails .HTTP status 500.; look at its log"),
        ("http://me:secret@ANSWERING/503", "fails .HTTP status 503.; look at its log"),
        ("http://me:secret@127.0.0.1:99999", "is no address, expected"),
        ("http://me:secret@[::1", "is no address, expected"),
        ("http://me:secret@", "is no address, expected"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_message(
    results, monkeypatch, answering, uri, words
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    write_block(results, "vanilla", [0])
    uri = uri.replace("ANSWERING", answering)
    with pytest.raises(TrackingError, match=words) as raised:
        track(results, uri=uri)
    message = str(raised.value)
    assert message.startswith(f"tracking.uri {uri.replace('me:secret@', '')}: ")
    assert "secret" not in message and "\n" not in message and "<p>" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "uri", ["http://me:secret@127.0.0.1:9", "postgresql://there/db?password=secret"]
)
def test_a_study_file_with_a_password_is_refused_without_showing_it(tmp_path, uri):
    study = tmp_path / "study.yaml"
    text = (ROOT / "config" / "config.yaml").read_text()
    study.write_text(f"{text}\ntracking: {{uri: '{uri}'}}\n")
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        load_study(source=study, models=ROOT / "config" / "models.yaml")
    assert "tracking.uri" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_server_that_never_answers_is_given_up(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    write_block(results, "vanilla", [0])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match=r"cannot be reached .*timed out"):
            track(results, uri=uri)


def command_track(results, *options):
    """`comvae track` as the shell sees it: exit status, output, errors."""
    done = CliRunner().invoke(app, ["track", "--results", str(results), *options])
    return done.exit_code, done.stdout, done.stderr


def test_a_study_goes_on_where_its_import_fails(results):
    write_study(results)
    blocks = [
        asdict(written.block_of(written.config_of(model, (0, 1), EPOCHS)))
        for model in ("vanilla", "compound-mixture")
    ]
    plan = dict(study="s", datasets=["digits"], models={}, gap_images=0, blocks=blocks)
    (results / "study.json").write_text(json.dumps(plan | {"tracking_uri": None}))
    database, note = results / "mlflow" / "mlflow.db", note_path(results)
    database.write_text("this is no database " * 100)
    status, said, message = command_track(results)
    assert (status, said) == (1, "")
    assert message.startswith("Error: tracking.uri sqlite:///")
    assert not note.exists()
    status, said, message = command_track(results, "--keep-going")
    assert (status, said) == (0, "")
    assert message == note.read_text() == failed_import(results)
    for words in (f"rename {database}", "python -m comvae track", "NOT in MLflow"):
        assert words in message
    # By hand, elsewhere: the study's own runs are still not where it says.
    other = f"sqlite:///{results}/other.db"
    assert command_track(results, "--uri", other)[0] == 0
    assert failed_import(results)
    database.unlink()
    status, said, message = command_track(results)
    assert (status, said) == (0, note.read_text())
    assert said.startswith("MLflow: 4 imported")
    assert not failed_import(results)


def test_a_damaged_database_is_named_with_the_cure(results):
    write_study(results)
    database = results / "mlflow" / "mlflow.db"
    database.write_text("this is no database " * 100)
    with pytest.raises(ComvaeError, match=re.escape(f"rename {database}")):
        track(results)
