"""The trail that training leaves: how far it is and its curves, while it runs."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from comvae.datasets.fetching import fetch
from comvae.engine.training import train
from comvae.errors import StoppedError
from comvae.results.trail import COLUMNS, Trail
from tests.support import run_config

NEVER = 3600.0


@pytest.fixture
def vanilla(models):
    return models["vanilla"]


def read(folder):
    progress = json.loads((folder / "progress.json").read_text())
    return progress, pd.read_csv(folder / "history.csv")


def rows(seeds, epoch, value=1.5):
    columns = COLUMNS[2:]
    return pd.DataFrame(
        {"seed": seeds, **dict.fromkeys(columns, value), "epoch": epoch}
    )


def assert_same(history, expected):
    history = history.sort_values(["seed", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(history, expected, check_dtype=False, rtol=1e-6)


def test_it_begins_before_the_first_epoch(vanilla, tmp_path):
    Trail(tmp_path, run_config(vanilla, [3, 5], epochs=7), 64)
    progress, history = read(tmp_path)
    assert progress["epoch"] == 0 and progress["epochs"] == 7 and progress["done"] == 0
    assert progress["seeds"] == progress["seeds_in_memory"] == [3, 5]
    assert progress["images_per_second"] is progress["seconds_left"] is None
    assert progress["pid"] == os.getpid() and progress["host"]
    assert history.empty and list(history) == COLUMNS


def test_it_grows_while_training_goes_on_and_ends_with_its_history(
    vanilla, blobs, tmp_path, monkeypatch
):
    monkeypatch.setattr("comvae.results.trail.WAITED_FOR", 0)
    config, seen = run_config(vanilla, [0, 1], epochs=3), []
    trail = Trail(tmp_path, config, 64, every=0)

    def on_epoch(epoch, rows):
        trail.epoch(epoch, rows)
        seen.append(read(tmp_path)[1]["epoch"].tolist())

    done = train(config, blobs, on_epoch=on_epoch)
    assert seen == [[1, 1], [1, 1, 2, 2], [1, 1, 2, 2, 3, 3]]
    progress, history = read(tmp_path)
    assert_same(history, done.history)
    assert (progress["epoch"], progress["done"], progress["seconds_left"]) == (3, 1, 0)
    assert progress["images_per_second"] > 0 and progress["seconds"] > 0


def test_it_goes_on_after_a_checkpoint_with_the_epochs_before(vanilla, blobs, tmp_path):
    config = run_config(vanilla, [0, 1], epochs=5)
    whole = train(config, blobs)
    epochs = []

    def count(epoch, rows):
        epochs.append(epoch)

    stop = {"stop": lambda: len(epochs) == 3}
    with pytest.raises(StoppedError, match="in epoch 3"):
        train(config, blobs, on_epoch=count, state=tmp_path, **stop)
    # the earlier process was killed before it wrote a trail
    trail = Trail(tmp_path, config, 64)
    train(config, blobs, on_epoch=trail.epoch, on_resume=trail.resumed, state=tmp_path)
    trail.write()
    assert_same(read(tmp_path)[1], whole.history)


def test_seeds_that_train_after_each_other_count_together(vanilla, tmp_path):
    trail = Trail(tmp_path, run_config(vanilla, [0, 1, 2], epochs=2), 10)
    for part in ([0, 1], [2]):
        trail.epoch(1, rows(part, 1))
        trail.epoch(2, rows(part, 2))
        trail.write()
        progress, history = read(tmp_path)
        assert progress["seeds_in_memory"] == part and progress["epoch"] == 2
        assert progress["done"] == pytest.approx(len(history) / 6)
    assert progress["done"] == 1


def test_epochs_that_are_trained_again_replace_those_before(vanilla, tmp_path):
    """A GPU that runs out of memory begins again with fewer seeds at a time."""
    trail = Trail(tmp_path, run_config(vanilla, [0, 1], epochs=2), 10)
    trail.epoch(1, rows([0, 1], 1, 9.0))
    trail.epoch(1, rows([0], 1, 2.0))
    trail.write()
    _, history = read(tmp_path)
    assert history["reconstruction"].tolist() == [2.0, 9.0]


def test_speed_and_time_left_and_how_often(vanilla, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("comvae.results.trail.time.monotonic", lambda: now[0])
    trail = Trail(tmp_path, run_config(vanilla, [0, 1], epochs=10), 50, every=2.5)
    written = []
    for epoch in (1, 2, 3, 4, 5):
        now[0] += 2.0 if epoch < 3 else 1.0
        trail.epoch(epoch, rows([0, 1], epoch))
        written.append(read(tmp_path)[0]["epoch"])
    assert written == [0, 2, 2, 2, 5]
    progress, _ = read(tmp_path)
    # 2 seeds x 50 images: 50 a second at first, then 100
    assert progress["images_per_second"] == pytest.approx(0.8 * 50 + 0.2 * 100)
    assert progress["seconds_left"] == pytest.approx(500 / 60, abs=0.05)
    assert progress["seconds"] == 7.0


def test_a_diverged_seed_is_written(vanilla, tmp_path):
    trail = Trail(tmp_path, run_config(vanilla, [0], epochs=2), 10)
    trail.epoch(1, rows([0], 1, float("nan")))
    trail.write()
    progress, history = read(tmp_path)
    assert progress["epoch"] == 1 and history["negative_elbo"].isna().all()


def test_a_full_disk_or_a_lost_folder_stops_no_training_and_loses_no_epoch(
    vanilla, blobs, tmp_path, monkeypatch
):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    config = run_config(vanilla, [0], epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr("comvae.results.trail.write_text", full)
        trail = Trail(tmp_path, config, 64, every=0)
        train(config, blobs, on_epoch=trail.epoch)
        assert not list(tmp_path.iterdir())
    trail.write()
    assert read(tmp_path)[0]["epoch"] == 2
    file = tmp_path / "file"
    file.write_text("")
    Trail(file / "below", config, 64)
    assert file.read_text() == ""


# A real process


@pytest.fixture
def block(tmp_path, vanilla):
    fetch("digits", tmp_path / "digits", None)
    config = run_config(vanilla, [0, 1], epochs=2000, batch_size=64)
    config = config.model_copy(update={"dataset": "digits", "model": "vanilla"})
    folder = tmp_path / "seeds-0-1"
    folder.mkdir()
    (folder / "run.json").write_text(config.to_json())
    return folder


def started(block, tmp_path):
    command = [sys.executable, "-m", "comvae", "train", str(block / "run.json")]
    command += ["--dataset", str(tmp_path / "digits" / "dataset.json")]
    command += ["--threads", "1"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def until(process, true, seconds=120):
    """Wait until something holds of a process that goes on."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def epoch_in(folder):
    try:
        return json.loads((folder / "progress.json").read_text())["epoch"]
    except FileNotFoundError:
        return -1


def test_a_process_leaves_a_trail_which_goes_on_and_is_gone_at_the_end(block, tmp_path):
    state = block / "state"
    process = started(block, tmp_path)
    try:
        until(process, lambda: epoch_in(state) >= 0)
        first, _ = read(state)
        assert first["pid"] == process.pid and first["epochs"] == 2000
        until(process, lambda: epoch_in(state) > max(first["epoch"], 3))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    finally:
        process.kill()
        process.wait()
    stopped, history = read(state)
    assert history["epoch"].max() == stopped["epoch"] > first["epoch"]
    assert not list(state.glob(".*"))  # nothing half written
    process = started(block, tmp_path)
    try:
        until(process, lambda: read(state)[0]["pid"] == process.pid)
        until(process, lambda: epoch_in(state) >= stopped["epoch"])
        _, history = read(state)
        assert history.groupby("seed")["epoch"].min().tolist() == [1, 1]
        assert len(history) == 2 * history["epoch"].max()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    finally:
        process.kill()
        process.wait()
    # a training that is soon at its end
    config = json.loads((block / "run.json").read_text())
    config["training"]["epochs"] = 2
    (block / "run.json").write_text(json.dumps(config))
    for path in state.iterdir():
        path.unlink()
    process = started(block, tmp_path)
    assert process.wait(120) == 0, process.stderr.read()
    assert (block / "training.json").exists() and not state.exists()
