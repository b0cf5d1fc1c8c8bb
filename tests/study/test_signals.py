"""A training process that is told to stop, or killed, goes on where it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from comvae.study.signals import EXIT_STATUS, SIGNALS, stop_requested
from tests.support import run_config


def test_a_signal_is_remembered_and_a_second_interrupt_ends_the_process_as_before():
    usual = {number: signal.getsignal(number) for number in SIGNALS}
    with stop_requested() as stop:
        assert not stop()
        for number in SIGNALS:
            assert signal.getsignal(number) is not usual[number]
            os.kill(os.getpid(), number)
            assert stop()
            second = signal.getsignal(number)
            assert (second is usual[number]) == (number == signal.SIGINT)
            if number != signal.SIGINT:
                os.kill(os.getpid(), number)  # nothing more happens
    assert {number: signal.getsignal(number) for number in SIGNALS} == usual


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    from comvae.datasets.fetching import fetch

    folder = tmp_path_factory.mktemp("digits")
    fetch("digits", folder, None)
    return folder / "dataset.json"


def started(run: Path, digits: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "comvae", "train", str(run / "run.json")]
    options = ["--dataset", digits, "--threads", "1"]
    return subprocess.Popen(
        [*command, *map(str, options)], stderr=subprocess.PIPE, text=True
    )


def wait_for_line(process: subprocess.Popen, text: str) -> str:
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"no {text!r} in:\n{seen}")


def test_every_signal_saves_first_and_the_same_command_goes_on(
    digits, tmp_path, models
):
    """SIGTERM, SIGINT and SIGUSR1 in mid-training, then SIGKILL: the weights are those
    of a run that nobody disturbed, to the last bit."""
    config = run_config(models["simplified-mixture"], [0, 1], epochs=40)
    config = config.model_copy(update={"dataset": "digits"})
    runs = {}
    for name in ("disturbed", "undisturbed"):
        runs[name] = tmp_path / name
        runs[name].mkdir()
        (runs[name] / "run.json").write_text(config.to_json())
    run = runs["disturbed"]
    for attempt, number in enumerate([*SIGNALS, signal.SIGKILL]):
        process = started(run, digits)
        wait_for_line(process, "goes on in epoch" if attempt else "epoch 1/40")
        time.sleep(0.3)
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == EXIT_STATUS, rest
            assert "the same command goes on from here" in rest
        assert not (run / "weights.safetensors").exists()
        assert list((run / "state").glob("checkpoint-*.safetensors"))
    for folder in runs.values():
        process = started(folder, digits)
        _, log = process.communicate(timeout=120)
        assert process.returncode == 0, log
        assert not (folder / "state").exists()
    disturbed, undisturbed = (
        load_file(folder / "weights.safetensors") for folder in runs.values()
    )
    for name, tensor in undisturbed.items():
        assert disturbed[name].equal(tensor), name
    histories = [(f / "history.csv").read_text() for f in runs.values()]
    assert histories[0] == histories[1]
