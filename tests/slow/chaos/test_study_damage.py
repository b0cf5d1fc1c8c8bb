"""The study itself, run again after damage to what it made."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from comvae.files import sha256_of
from tests.slow.chaos.blocks import DATASET, evaluation, run
from tests.slow.chaos.commands import STUDY
from tests.slow.support import make_study, table, write_study
from tests.slow.support import run as run_command
from tests.support import study_in

MODEL = "vanilla"
NO_GAPS = {"images": 0}
METRICS = f"{evaluation(MODEL, gap=NO_GAPS)}/metrics.csv"
WEIGHTS = f"{run(MODEL)}/weights.safetensors"


def completes(folder: Path) -> None:
    done = make_study(folder, folder / "study.yaml")
    assert done.returncode == 0, done.stdout


def fails(folder: Path) -> str:
    """What a study prints that cannot be completed, in one line: the logs of its failed
    jobs."""
    done = make_study(folder, folder / "study.yaml")
    assert done.returncode != 0 and "Traceback" not in done.stdout, done.stdout
    return " ".join(done.stdout.split())


def states(folder: Path) -> list[str]:
    return list(table(folder, "cells")["status"])


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished study of one model, with its runs in MLflow."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, STUDY | {"models": [MODEL], "gap": NO_GAPS})
    completes(folder)
    assert states(folder) == ["finished", "finished"]
    return folder


def test_a_half_written_table_and_a_lost_store_are_made_again(study):
    runs = study_in(study / "results") / "tables" / "runs.csv"
    before, metrics = runs.read_bytes(), (study / METRICS).read_bytes()
    (study / METRICS).write_bytes(metrics[: len(metrics) // 2])
    shutil.rmtree(study / "results" / "mlflow")
    said = fails(study)
    assert f"{METRICS} is damaged: its last line is cut off; delete it" in said
    assert states(study) == ["missing", "missing"], "the rest has its tables"
    imported = study / "results" / "mlflow" / "imported" / f"{STUDY['study']}.txt"
    assert f"not imported: {METRICS} is damaged" in imported.read_text()

    (study / METRICS).unlink()  # as it says
    completes(study)
    assert states(study) == ["finished", "finished"]
    assert (study / METRICS).read_bytes() == metrics and runs.read_bytes() == before
    assert "2 imported" in imported.read_text()


def test_a_lost_dataset_and_damaged_weights_are_named_one_after_the_other(study):
    metrics = (study / METRICS).read_bytes()
    record = json.loads((study / run(MODEL) / "training.json").read_text())
    (study / METRICS).unlink()
    images = study / Path(DATASET).parent / "train-images.npy"
    images.unlink()
    content = bytearray((study / WEIGHTS).read_bytes())
    content[-2] ^= 1
    (study / WEIGHTS).write_bytes(content)

    said = fails(study)
    assert "digits/train-images.npy: cannot be read" in said
    advice = f"Fetch it again: comvae fetch digits --output {Path(DATASET).parent}"
    assert advice in said
    fetch = [sys.executable, "-m", *advice.removeprefix("Fetch it again: ").split()]
    assert run_command(fetch, study).returncode == 0

    said = fails(study)
    assert f"{WEIGHTS} is damaged: found SHA-256" in said
    assert "delete it and run the study again" in said
    (study / WEIGHTS).unlink()
    completes(study)
    assert states(study) == ["finished", "finished"]
    assert (study / METRICS).read_bytes() == metrics
    again = json.loads((study / run(MODEL) / "training.json").read_text())
    assert again["sha256"] == record["sha256"], "the same weights and history"

    history = study / run(MODEL) / "history.csv"
    history.unlink()
    completes(study)
    assert sha256_of(history) == record["sha256"]["history.csv"]
