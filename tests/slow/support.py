"""What the slow suites share: copies of the code, whole studies, and waiting."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from tests.support import ROOT, study_in

PATIENCE = 600  # seconds until a study that hangs fails its test
TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]
SPLITS = ["train", "test", "train-running"]
TINY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["vanilla"],
    "seeds": 1,
    "training": {"epochs": 1, "hidden": 4, "latent": 2},
    "evaluation": {"samples": 1},
    "gap": {"images": 0},
}


def copy_repository(folder: Path) -> Path:
    """Copy what git keeps or would keep, as it is now, into `folder`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # else it was removed, and not yet in git
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def real_data() -> Path:
    """The mirror of real MNIST and Fashion-MNIST: the folder that COMVAE_TEST_MIRROR
    names, else COMVAE_MIRROR, else `../shared/data` beside the repository."""
    named = os.environ.get("COMVAE_TEST_MIRROR") or os.environ.get("COMVAE_MIRROR")
    folder = Path(named or ROOT.parent / "shared" / "data")
    if not (folder / "mnist").is_dir():
        pytest.fail(f"no real data in {folder}: set COMVAE_TEST_MIRROR to a mirror")
    return folder


def write_study(folder: Path, settings: dict) -> Path:
    """Write `settings` as study.yaml."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def study_command(study: Path, *arguments: str, code: Path = ROOT) -> list[str]:
    """What `make study` runs, with the code of `code`."""
    command = [sys.executable, code / "workflow" / "scripts" / "run.py"]
    command += ["--snakefile", code / "Snakefile", "--configfile", study]
    command += ["--workflow-profile", code / "profiles" / "default", "--cores", "2"]
    return [*map(str, command), *arguments]


def make_study(
    folder: Path, study: Path, *arguments: str, code: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a study in `folder`; its output has standard error in between."""
    return run(study_command(study, *arguments, code=code), folder, **environment)


def run(
    command: list[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`; its output has standard error in between."""
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )


def heed_interrupts() -> None:
    """Called in a child: what a shell starts in the background ignores SIGINT, so that
    a test suite there does, and its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table of the results in `folder`."""
    return pd.read_csv(study_in(folder / "results") / "tables" / f"{name}.csv")


def check_complete(folder: Path, models: list[str]) -> None:
    """Seeds 0 and 1 of each model are in the tables, finite, and in MLflow once."""
    from mlflow import MlflowClient

    runs = table(folder, "runs")
    keys = set(zip(runs["model"], runs["seed"], runs["split"], strict=True))
    assert keys == {(m, s, split) for m in models for s in (0, 1) for split in SPLITS}
    assert len(runs) == len(keys)
    assert runs[TERMS].map(math.isfinite).all(axis=None)
    measured = runs[runs["split"] != "train-running"]
    names = ["log_px", "elbo", "elbo_marginal", "elbo_optimal", "inference_gap"]
    assert measured[names].map(math.isfinite).all(axis=None)
    cells = table(folder, "cells")
    assert len(cells) == len(models) * 2
    assert (cells["status"] == "finished").all() and (cells["gap"] == "measured").all()

    database = folder / "results" / "mlflow" / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    tags = [run.data.tags for run in found]
    own = [each for each in tags if each["config_hash"] in set(runs["config_hash"])]
    names = [(each["model"], each["seed"]) for each in own]
    assert sorted(names) == sorted((model, seed) for model in models for seed in "01")
    assert {run.info.status for run in found} == {"FINISHED"}


def processes(belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes that belong; one that ends meanwhile does not."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if belongs(process):
                found.append(process)
    return found


def wait_for(
    condition: Callable[[], Any],
    otherwise: str,
    details: Callable[[], str] = lambda: "",
    patience: float = 60,
    pause: float = 0.1,
) -> Any:
    """The first true value of `condition`, which is asked every `pause` seconds.

    Raises TimeoutError after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {patience} s\n{details()}")
        time.sleep(pause)
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]
