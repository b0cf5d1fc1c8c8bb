"""The study itself, run again after damage to what it made."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from comvae.files import sha256_of
from tests.slow.chaos.blocks import DATASET, evaluation, run
from tests.slow.chaos.commands import ROOT, STUDY

MODEL = "vanilla"
METRICS = f"{evaluation(MODEL)}/metrics.csv"
WEIGHTS = f"{run(MODEL)}/weights.safetensors"


def make_study(folder: Path) -> subprocess.CompletedProcess:
    """What `make study` does, with the code of this repository."""
    script = ROOT / "workflow" / "scripts" / "run.py"
    profile = ROOT / "profiles" / "default"
    return subprocess.run(
        [
            *(sys.executable, str(script), "--snakefile", str(ROOT / "Snakefile")),
            *("--workflow-profile", str(profile), "--cores", "2"),
            *("--configfile", "study.yaml"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def completes(folder: Path) -> str:
    done = make_study(folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


def fails(folder: Path) -> str:
    """What a study prints that cannot be completed: the logs of its failed jobs."""
    done = make_study(folder)
    assert done.returncode != 0 and "Traceback" not in done.stdout, done.stdout
    return done.stdout


def states(folder: Path) -> list[str]:
    return list(pd.read_csv(folder / "results" / "tables" / "cells.csv")["status"])


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished study of one model, with its runs in MLflow."""
    folder = tmp_path_factory.mktemp("study")
    settings = STUDY | {"models": [MODEL], "gap": {"images": 0}}
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    completes(folder)
    assert states(folder) == ["finished", "finished"]
    return folder


def test_a_half_written_table_and_a_lost_store_are_made_again(study):
    runs = study / "results" / "tables" / "runs.csv"
    before, metrics = runs.read_bytes(), (study / METRICS).read_bytes()
    (study / METRICS).write_bytes(metrics[: len(metrics) // 2])
    shutil.rmtree(study / "results" / "mlflow")
    said = " ".join(fails(study).split())
    assert f"{METRICS} is damaged: its last line is cut off; delete it" in said
    assert states(study) == ["missing", "missing"], "the rest has its tables"
    imported = study / "results" / "mlflow" / "imported.txt"
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
    assert advice in " ".join(said.split())
    fetch = [sys.executable, "-m", "comvae", "fetch", "digits", "--output"]
    subprocess.run([*fetch, Path(DATASET).parent], cwd=study, check=True)

    said = " ".join(fails(study).split())
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
