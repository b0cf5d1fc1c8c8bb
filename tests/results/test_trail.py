"""The trail that training leaves: how far it is and its curves, while it runs."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from comvae.datasets.fetching import fetch
from comvae.engine.training import train
from comvae.errors import StoppedError
from comvae.results.trail import COLUMNS, Trail, trail_left
from tests.support import run_config

OFTEN = 0.005
NEVER = 3600.0


class StopError(Exception):
    pass


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


def trained(config, data, folder, **more):
    """Train, leaving a trail that is complete at the end."""
    with trail_left(folder, config, len(data.train), every=NEVER) as trail:
        return train(
            config, data, on_epoch=trail.epoch, on_resume=trail.resumed, **more
        )


def test_it_begins_before_the_first_epoch(vanilla, tmp_path):
    config = run_config(vanilla, [3, 5], epochs=7)
    with trail_left(tmp_path, config, 64, every=NEVER):
        progress, history = read(tmp_path)
    assert progress["epoch"] == 0 and progress["epochs"] == 7 and progress["done"] == 0
    assert progress["seeds"] == progress["seeds_in_memory"] == [3, 5]
    assert progress["images_per_second"] is progress["seconds_left"] is None
    assert progress["pid"] == os.getpid() and progress["host"]
    assert history.empty and list(history) == COLUMNS


def test_it_ends_with_the_history_of_training(vanilla, blobs, tmp_path):
    config = run_config(vanilla, [0, 1], epochs=3)
    done = trained(config, blobs, tmp_path)
    progress, history = read(tmp_path)
    history = history.sort_values(["seed", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(history, done.history, check_dtype=False, rtol=1e-6)
    assert (progress["epoch"], progress["done"], progress["seconds_left"]) == (3, 1, 0)
    assert progress["images_per_second"] > 0 and progress["seconds"] > 0


def test_it_grows_while_training_goes_on(vanilla, blobs, tmp_path):
    config, seen = run_config(vanilla, [0], epochs=3), []
    with trail_left(tmp_path, config, 64, every=OFTEN) as trail:

        def on_epoch(epoch, rows):
            trail.epoch(epoch, rows)
            while read(tmp_path)[0]["epoch"] < epoch:  # the writer comes by itself
                time.sleep(OFTEN)
            seen.append(read(tmp_path)[1]["epoch"].tolist())

        train(config, blobs, on_epoch=on_epoch)
    assert seen == [[1], [1, 2], [1, 2, 3]]


def test_it_goes_on_after_a_checkpoint_with_the_epochs_before(vanilla, blobs, tmp_path):
    config = run_config(vanilla, [0, 1], epochs=5)
    whole = train(config, blobs)
    state, epochs = tmp_path / "state", []

    def count(epoch, rows):
        epochs.append(epoch)

    with pytest.raises(StoppedError, match="in epoch 3"):
        train(config, blobs, on_epoch=count, state=state, stop=lambda: len(epochs) == 3)
    # the earlier process was killed before it wrote a trail
    done = trained(config, blobs, state, state=state)
    _, history = read(state)
    history = history.sort_values(["seed", "epoch"], ignore_index=True)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5] * 2
    for table in (done.history, history):
        pd.testing.assert_frame_equal(
            table, whole.history, check_dtype=False, rtol=1e-6
        )


def test_seeds_that_train_after_each_other_count_together(vanilla, tmp_path):
    trail = Trail(run_config(vanilla, [0, 1, 2], epochs=2), 10)
    for part in ([0, 1], [2]):
        trail.epoch(1, rows(part, 1))
        trail.epoch(2, rows(part, 2))
        trail.write(tmp_path)
        progress, history = read(tmp_path)
        assert progress["seeds_in_memory"] == part and progress["epoch"] == 2
        assert progress["done"] == pytest.approx(len(history) / 6)
    assert progress["done"] == 1


def test_epochs_that_are_trained_again_replace_those_before(vanilla, tmp_path):
    """A GPU that runs out of memory begins again with fewer seeds at a time."""
    trail = Trail(run_config(vanilla, [0, 1], epochs=2), 10)
    trail.epoch(1, rows([0, 1], 1, 9.0))
    trail.epoch(1, rows([0], 1, 2.0))
    trail.write(tmp_path)
    _, history = read(tmp_path)
    assert history["reconstruction"].tolist() == [2.0, 9.0]


def test_speed_and_time_left(vanilla, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("comvae.results.trail.time.monotonic", lambda: now[0])
    trail = Trail(run_config(vanilla, [0, 1], epochs=10), 50)
    for epoch in (1, 2, 3, 4):
        now[0] += 2.0 if epoch < 3 else 1.0
        trail.epoch(epoch, rows([0, 1], epoch))
        if epoch in (2, 4):
            trail.write(tmp_path)
    progress, _ = read(tmp_path)
    # 2 seeds x 50 images: 50 a second at first, then 100
    assert progress["images_per_second"] == pytest.approx(0.8 * 50 + 0.2 * 100)
    assert progress["seconds_left"] == 10.0 and progress["seconds"] == 6.0


def test_a_diverged_seed_is_written(vanilla, tmp_path):
    trail = Trail(run_config(vanilla, [0], epochs=2), 10)
    trail.epoch(1, rows([0], 1, float("nan")))
    trail.write(tmp_path)
    progress, history = read(tmp_path)
    assert progress["epoch"] == 1 and history["negative_elbo"].isna().all()


def test_nothing_is_written_without_news(vanilla, tmp_path):
    trail = Trail(run_config(vanilla, [0], epochs=2), 10)
    trail.write(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    trail.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_no_training_and_loses_no_epoch(
    vanilla, blobs, tmp_path, monkeypatch
):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    config = run_config(vanilla, [0], epochs=2)
    trail = Trail(config, 64)
    with monkeypatch.context() as patch:
        patch.setattr("comvae.results.trail.write_text", full)
        with trail_left(tmp_path, config, 64, every=OFTEN) as other:
            done = train(config, blobs, on_epoch=other.epoch)
        assert len(done.history) == 2 and not list(tmp_path.iterdir())
        trail.epoch(1, rows([0], 1))
        trail.write(tmp_path)
    trail.write(tmp_path)
    assert read(tmp_path)[0]["epoch"] == 1


def test_a_folder_that_is_gone_stops_no_training(vanilla, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with trail_left(file / "below", run_config(vanilla, [0]), 64) as trail:
        trail.epoch(1, rows([0], 1))
    assert file.read_text() == ""


def test_without_a_folder_there_is_no_trail_and_no_thread(vanilla):
    before = threading.active_count()
    with trail_left(None, run_config(vanilla, [0]), 64) as trail:
        trail.epoch(1, rows([0], 1))
        assert threading.active_count() == before


def test_a_failure_of_training_ends_the_writer_too(vanilla, tmp_path):
    before = threading.active_count()
    with (
        pytest.raises(StopError),
        trail_left(tmp_path, run_config(vanilla, [0]), 64, every=NEVER) as trail,
    ):
        trail.epoch(1, rows([0], 1))
        raise StopError
    assert threading.active_count() == before
    assert read(tmp_path)[0]["epoch"] == 1  # what came last is written


def test_no_epoch_is_lost_between_two_threads(vanilla, tmp_path):
    config = run_config(vanilla, [0], epochs=400)
    with trail_left(tmp_path, config, 64, every=0.0) as trail:
        for epoch in range(1, 401):
            trail.epoch(epoch, rows([0], epoch))
    progress, history = read(tmp_path)
    assert history["epoch"].tolist() == list(range(1, 401)) and progress["done"] == 1


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
