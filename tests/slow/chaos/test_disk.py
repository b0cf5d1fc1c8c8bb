"""A disk that is full or read-only: one message, nothing lost, and on it goes.

The disk is a tmpfs of a few megabytes, which takes root to mount.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from comvae.study.plan import study_folder
from tests.slow.chaos.blocks import (
    DATASET,
    configure,
    evaluate,
    evaluation,
    gap,
    run,
    train,
    trained,
)
from tests.slow.chaos.commands import STUDY
from tests.support import ROOT, study_in

MODEL = "vanilla"
MODELS_FILE = ROOT / "config" / "models.yaml"
COMMANDS = {
    "configure": ["configure", "study.yaml", "--models", MODELS_FILE],
    "fetch": ["fetch", "digits", "--output", Path(DATASET).parent],
    "train": train(MODEL),
    "evaluate": evaluate(MODEL),
    "gap": gap(MODEL),
    "tables": ["tables"],
    "report": ["report"],
}
FOLDER = study_folder(Path("results"), STUDY["study"])
OUTPUTS = {
    "configure": [f"{FOLDER}/study.json", f"{run(MODEL)}/run.json"],
    "fetch": [DATASET, "results/datasets/digits/train-images.npy"],
    "train": [f"{run(MODEL)}/weights.safetensors", f"{run(MODEL)}/history.csv"],
    "evaluate": [f"{evaluation(MODEL)}/metrics.csv"],
    "gap": [f"{evaluation(MODEL)}/gaps.parquet"],
    "tables": [f"{FOLDER}/tables/{name}.csv" for name in ("runs", "table1", "cells")],
    "report": [f"{FOLDER}/report/{name}.md" for name in ("table1", "gaps")],
}


class Disk:
    """A file system of its own at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self._call("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs")

    def fill(self) -> None:
        """Take all the room that is left."""
        with suppress(OSError), (self.place / "filler").open("wb", buffering=0) as file:
            for size in (65536, 512, 1):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass
        assert shutil.disk_usage(self.place).free == 0

    def free(self) -> None:
        """Give it back."""
        (self.place / "filler").unlink()

    def write_protect(self, on: bool) -> None:
        """Make the disk read-only, or writable again."""
        self._call("mount", "-o", f"remount,{'ro' if on else 'rw'}")

    def remove(self) -> None:
        """Unmount it."""
        self._call("umount")

    def _call(self, *command: str) -> None:
        subprocess.run([*command, str(self.place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    small = Disk(tmp_path / "disk")
    yield small
    small.remove()


def contents(study: Path, name: str) -> dict[str, bytes]:
    return {output: (study / output).read_bytes() for output in OUTPUTS[name]}


@pytest.mark.parametrize(
    "name,trouble",
    [(name, "full") for name in COMMANDS]
    + [(name, "read-only") for name in ("train", "evaluate", "tables")],
)
def test_a_stage_says_so_and_completes_once_it_can_write(
    comvae, finished, disk, name, trouble
):
    study = shutil.copytree(finished, disk.place / "study")
    before = contents(study, name)
    if name == "fetch":  # what is whole is not fetched again
        (study / DATASET).unlink()
    disk.fill() if trouble == "full" else disk.write_protect(True)
    message = comvae.refused(study, *COMMANDS[name])
    why = {"full": "No space left on device", "read-only": "Read-only file system"}
    assert why[trouble] in message and "results" in message
    assert "again" in message
    if name != "fetch":
        assert contents(study, name) == before, "what was finished is there"

    disk.free() if trouble == "full" else disk.write_protect(False)
    for output in before:
        if (study / output).exists() and name != "configure":
            (study / output).unlink()
    comvae.succeeds(study, *COMMANDS[name])
    assert contents(study, name) == before
    left = [path for path in study.rglob(".*") if not path.match("filler")]
    assert left == [], "no temporary file is left behind"


@pytest.mark.parametrize("when", ["checkpoint", "saving"])
def test_a_disk_that_fills_up_during_training_costs_no_checkpoint(
    comvae, finished, disk, when
):
    study = disk.place / "study"
    training = {"epochs": 200, "hidden": 16, "latent": 3}
    configure(comvae, study, models=[MODEL], training=training)
    undisturbed = shutil.copytree(study, disk.place.parent / "undisturbed")
    comvae.succeeds(undisturbed, *train(MODEL, training=training))

    every = 0.05 if when == "checkpoint" else 0.5
    running = comvae.start(study, *train(MODEL, every, training))
    first = study / run(MODEL, training) / "state" / "checkpoint-0.json"
    while not first.exists():
        assert not running.ended(within=0.001), running.wait()
    disk.fill()
    done = running.wait()
    assert done.status == 1 and "Traceback" not in done.errors, done
    message = done.errors.splitlines()[-1]
    assert message.startswith(f"Error: {run(MODEL, training)}/")
    assert "No space left on device; free some space there" in message
    assert first.exists(), "what was saved is kept"
    disk.free()
    again = comvae.succeeds(study, *train(MODEL, training=training))
    assert "goes on in epoch" in again
    assert trained(study, MODEL) == trained(undisturbed, MODEL)


def test_mlflow_is_filled_once_there_is_room(comvae, finished, disk):
    study = shutil.copytree(finished, disk.place / "study")
    disk.fill()
    message = comvae.refused(study, "track")
    assert "results/mlflow" in message
    disk.free()
    assert "2 imported" in comvae.succeeds(study, "track")


def test_a_folder_that_belongs_to_someone_else_is_named(comvae, finished, tmp_path):
    """Where a file stands in the place of a folder, whoever runs this."""
    study = shutil.copytree(finished, tmp_path / "study")
    shutil.rmtree(study_in(study / "results") / "tables")
    (study_in(study / "results") / "tables").write_text("no folder")
    message = comvae.refused(study, "tables")
    assert f"{FOLDER}/tables" in message
    os.unlink(study_in(study / "results") / "tables")
    comvae.succeeds(study, "tables")
