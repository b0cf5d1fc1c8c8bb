"""The mirror is complete, idempotent, and rebuilt from the files at any time."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from comvae.errors import ResultsError
from comvae.results.mlflow import TrackingError, track
from comvae.results.paths import find_configs
from tests.results.mlflow.blocks import (
    EPOCHS,
    active_runs,
    client,
    content,
    edit,
    ids,
    value,
    write_block,
    write_study,
)
from tests.results.written import block_of, config_of, folder_of
from tests.support import ROOT


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
    track(results, [block_of(config_of("vanilla", (0, 1), EPOCHS))])
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
    for path in [config.parent for config in find_configs(results)]:
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
