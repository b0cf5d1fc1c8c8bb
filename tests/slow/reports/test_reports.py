"""Situations in which studies of this kind went wrong for their users, as they tell it.

One test for each kind in docs/robustness.md, but those of locales and surroundings,
which are in files of their own.
"""

import gzip
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from comvae.files import sha256_of
from tests.slow.support import (
    TINY,
    free_port,
    processes,
    run,
    study_command,
    table,
    wait_for,
    write_study,
)
from tests.support import ROOT, study_in

STUDY = TINY | {"seeds": 2}
LONGER = {"training": TINY["training"] | {"epochs": 2}}
WEIGHTS = "results/runs/digits/*/*/*/weights.safetensors"

Make = Callable[..., str]


@pytest.fixture
def make(python: Path) -> Make:
    """Runs a study in a folder, and gives what it prints."""

    def make(folder: Path, changes: dict | None = None, *more: str) -> str:
        folder.mkdir(exist_ok=True)
        study = write_study(folder, STUDY | (changes or {}))
        command = [str(python), *study_command(study)[1:], *more]
        command[1:2] = ["-m", "snakemake"]
        done = run(command, folder)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return make


def comvae(folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The exit status of a command, and what it prints."""
    done = run([sys.executable, "-m", "comvae", *words], folder, **environment)
    return done.returncode, done.stdout


def trained(folder: Path) -> set[tuple[str, int]]:
    """Each file of weights, and which file of that name it is."""
    return {(str(p), p.stat().st_ino) for p in folder.glob(WEIGHTS)}


@pytest.fixture
def finished(make: Make, tmp_path: Path) -> Path:
    folder = tmp_path / "finished"
    make(folder)
    return folder


@pytest.mark.parametrize("more", [[], ["--rerun-triggers", "mtime"]])
def test_a_changed_settings_count_where_nothing_is_remembered(make, finished, more):
    shutil.rmtree(finished / ".snakemake")
    make(finished, LONGER | {"seeds": 3}, *more)
    runs = table(finished, "runs")
    assert set(runs["epochs"]) == {2} and set(runs["seed"]) == {0, 1, 2}


def test_b_a_second_study_overwrites_nothing(make, finished):
    first, tables = trained(finished), study_in(finished / "results") / "tables"
    before = (tables / "runs.csv").read_bytes()
    make(finished, LONGER | {"study": "second"})
    assert first < trained(finished)
    assert (tables / "runs.csv").read_bytes() == before
    assert set(table(finished, "runs")["epochs"]) == {2}
    status, said = comvae(finished, "report", "--study", "tiny")
    assert status == 0 and "studies/tiny" in said


def test_b_settings_changed_while_interrupted_are_trained(make, tmp_path):
    study = write_study(tmp_path, STUDY | {"training": {"epochs": 10_000, "hidden": 4}})
    started = subprocess.Popen(study_command(study), cwd=tmp_path)
    wait_for(lambda: any(tmp_path.glob("results/runs/**/progress.json")), "no training")
    for process in processes(lambda each: each.cwd() == str(tmp_path.resolve())):
        with suppress(psutil.Error):
            process.kill()
    started.wait(timeout=60)
    make(tmp_path)
    assert set(table(tmp_path, "runs")["epochs"]) == {1}


def test_c_lost_dates_train_nothing_again(make, finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished / "results", copy / "results")
    files = list(copy.rglob("*"))
    random.Random(1).shuffle(files)
    for age, path in enumerate(files):
        os.utime(path, (1.6e9 + age, 1.6e9 + age))
    before = trained(copy)
    make(copy)
    assert trained(copy) == before
    assert table(copy, "runs").equals(table(finished, "runs"))


def test_d_linked_results_are_cleaned_through_the_link(finished, tmp_path):
    shutil.move(finished / "results", tmp_path / "scratch")
    (finished / "results").symlink_to(tmp_path / "scratch")
    done = run(["make", "-f", str(ROOT / "Makefile"), "clean"], finished)
    assert done.returncode == 0, done.stdout
    assert not any((tmp_path / "scratch").iterdir())
    assert not (finished / ".snakemake").exists()


def test_e_from_anywhere_the_dashboard_listens_on_loopback_alone(finished):
    port = free_port()
    command = [sys.executable, "-m", "comvae", "dashboard", "--results"]
    command += [str(finished / "results"), "--", "--server.port", str(port)]
    server = subprocess.Popen(
        command, cwd="/", env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:

        def answers(host: str) -> bool:
            with socket.socket() as asking:
                return asking.connect_ex((host, port)) == 0

        wait_for(lambda: answers("127.0.0.1"), "the dashboard does not start")
        others = socket.gethostbyname_ex(socket.gethostname())[2]
        assert not [a for a in others if not a.startswith("127.") and answers(a)]
    finally:
        server.kill()
        server.wait()


def test_g_the_copy_of_a_folder_owns_nothing_of_the_original(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    artifacts = sorted((finished / "results" / "mlflow").rglob("*.png"))
    shutil.rmtree(copy / "results" / "runs")
    for command in ("track", "tables"):
        assert comvae(copy, command)[0] == 0
    [command] = re.findall(
        r"`(mlflow gc .*?)`", (ROOT / "docs" / "mlflow.md").read_text("utf-8")
    )
    done = run([sys.executable, "-m", *command.split()], copy)
    assert done.returncode == 0, done.stdout
    assert not list((copy / "results" / "mlflow").rglob("*.png"))
    assert artifacts and all(path.exists() for path in artifacts)


def test_h_a_store_that_is_held_is_waited_for(finished):
    held = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(5)"
    )
    database = finished / "results" / "mlflow" / "mlflow.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", held, str(database)], stdout=subprocess.PIPE
    )
    with holder:
        holder.stdout.readline()
        status, said = comvae(finished, "track")
    assert status == 0 and "2 unchanged" in said and "delete" not in said


def test_i_a_study_that_failed_in_part_can_be_zipped(make, tmp_path):
    folder = tmp_path / "study"
    with pytest.raises(AssertionError):
        make(folder, {"models": ["vanilla", "compound-gaussian"]} | BROKEN)
    assert set(table(folder, "cells")["status"]) == {"finished", "missing"}
    archive = shutil.make_archive(str(tmp_path / "results"), "zip", folder / "results")
    assert any(n.endswith("cells.csv") for n in zipfile.ZipFile(archive).namelist())
    with pytest.raises(AssertionError):  # tables of a part are not those of the study
        make(folder, {"models": ["vanilla", "compound-gaussian"]} | BROKEN)


BROKEN = {"training": TINY["training"] | {"batch_size": 359}}
"""The last of 1,437 images is alone in its batch, which batch norm refuses."""


@pytest.mark.parametrize("form", ["MNIST/raw", "zip"])
def test_j_files_that_people_have_are_read(tmp_path, form):
    """The real files as torchvision unpacks them, and in a zip of a folder."""
    mirror = os.environ.get("COMVAE_TEST_MIRROR") or ROOT.parent / "shared" / "data"
    raw = tmp_path / "mirror" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in Path(mirror, "mnist").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    if form == "zip":
        shutil.make_archive(str(tmp_path / "mirror" / "mnist"), "zip", raw)
        shutil.rmtree(raw.parent)
    fetch = ["fetch", "mnist", "--output", "mnist"]
    status, said = comvae(tmp_path, *fetch, COMVAE_MIRROR=str(tmp_path / "mirror"))
    assert status == 0, said
    images = np.load(tmp_path / "mnist" / "train-images.npy")
    assert images.shape == (60_000, 28, 28) and 33.3 < images.mean() < 33.4


def test_l_more_epochs_go_on_from_what_was_kept(make, tmp_path):
    keep = {"training": TINY["training"] | {"keep_optimiser": True}}
    longer = {"training": keep["training"] | {"epochs": 2}}
    make(tmp_path / "a", keep)
    make(tmp_path / "a", longer)
    logs = [path.read_text() for path in (tmp_path / "a").glob("logs/train/**/*.log")]
    assert sum("goes on from the 1 epochs" in log for log in logs) == 1
    make(tmp_path / "b", longer)
    [direct] = (tmp_path / "b").glob(WEIGHTS)
    same = tmp_path / "a" / direct.relative_to(tmp_path / "b")
    assert sha256_of(same) == sha256_of(direct)


def test_m_what_is_finished_of_a_study_is_shown_as_a_part(make, finished):
    wider = STUDY | {"models": ["vanilla", "simplified-mixture"]}
    study = write_study(finished, wider)
    models = str(ROOT / "config" / "models.yaml")
    for command in (["configure", str(study), "--models", models], ["tables"]):
        assert comvae(finished, *command)[0] == 0
    site = finished / "site"
    render = [sys.executable, "-m", "dashboard.render", "--output", str(site)]
    done = run(render, finished, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout
    page = (site / "table-1.html").read_text("utf-8")
    assert "Part of the study: 2 of 4 runs" in page
    make(finished, wider)
    assert (table(finished, "cells")["status"] == "finished").all()


def test_n_finite_garbage_is_refused_with_the_bound_that_it_breaks(make, finished):
    [weights] = finished.glob(WEIGHTS)
    tensors = load_file(weights)
    for name in tensors:
        if name.startswith("decoder"):
            tensors[name] = tensors[name] * np.float32(1e30)
    save_file(tensors, weights)
    record = weights.with_name("training.json")
    said = json.loads(record.read_text())
    said["sha256"]["weights.safetensors"] = sha256_of(weights)
    record.write_text(json.dumps(said))
    for metrics in finished.glob("results/evaluations/**/metrics.csv*"):
        metrics.unlink()
    make(finished)
    cells = table(finished, "cells")
    assert (cells["status"] == "failed").all()
    assert cells["detail"].str.contains("expected 0 to 6400").all(), list(
        cells["detail"]
    )


def test_o_two_estimates_are_compared_on_the_images_that_have_both(make, tmp_path):
    gap = {"images": 6, "ais_images": 2, "final_draws": 20, "importance_draws": 400}
    make(tmp_path / "a", {"gap": gap})
    [file] = (tmp_path / "a").glob("results/evaluations/**/gaps.parquet")
    rows = pd.read_parquet(file).query("split == 'test'")
    both = (rows["log_px_ais"] - rows["log_px_is"]).groupby(rows["seed"]).mean()
    gaps = table(tmp_path / "a", "gaps").set_index(["split", "quantity"])
    assert gaps.loc[("test", "ais_difference"), "mean"] == pytest.approx(both.mean())


def test_two_studies_that_share_no_block_run_at_once_in_one_folder(tmp_path):
    slow = {"epochs": 400, "hidden": 4, "latent": 2}
    running = []
    for name in ("one", "two"):
        changes = {"study": name, "training": slow | {"latent": 1 + len(running)}}
        study = tmp_path / f"{name}.yaml"
        write_study(tmp_path, STUDY | changes).rename(study)
        printed = (tmp_path / f"{name}.txt").open("w")
        running.append(
            subprocess.Popen(
                study_command(study), cwd=tmp_path, stdout=printed, stderr=printed
            )
        )
    third = write_study(
        tmp_path, STUDY | {"study": "third", "training": slow | {"latent": 1}}
    )
    wait_for(lambda: (tmp_path / ".snakemake/studies/one.json").exists(), "no start")
    time.sleep(1)
    refused = run(study_command(third), tmp_path)
    assert refused.returncode == 1 and "`one` making this block" in refused.stdout
    for name, process in zip(("one", "two"), running, strict=True):
        assert process.wait(timeout=300) == 0, (tmp_path / f"{name}.txt").read_text()
        cells = pd.read_csv(tmp_path / f"results/studies/{name}/tables/cells.csv")
        assert (cells["status"] == "finished").all()
