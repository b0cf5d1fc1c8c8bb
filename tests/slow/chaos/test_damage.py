"""Damaged and lost files: named with what to do about them, and made again."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

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
from tests.slow.chaos.commands import Comvae
from tests.support import study_in

MODEL = "vanilla"
LONG = {"epochs": 150, "hidden": 16, "latent": 3}
STATE = f"{run(MODEL, LONG)}/state"
METRICS = f"{evaluation(MODEL)}/metrics.csv"
GAPS = f"{evaluation(MODEL)}/gaps.parquet"
Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    """One that leaves the file well-formed: within a tensor, or a digit of a number."""
    content = bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(content) if byte in b"24680"]
    place = digits[-1] if path.suffix == ".json" else len(content) - 2
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished folder, to damage."""
    return shutil.copytree(finished, tmp_path / "study")


@pytest.fixture(scope="module")
def interrupted(comvae: Comvae, tmp_path_factory) -> Path:
    """A folder whose one block was killed in training, with two checkpoints."""
    folder = tmp_path_factory.mktemp("interrupted") / "study"
    configure(comvae, folder, models=[MODEL], training=LONG)
    running = comvae.start(folder, *train(MODEL, 0.1, LONG))
    state = folder / STATE
    while not all((state / f"checkpoint-{slot}.json").exists() for slot in (0, 1)):
        assert not running.ended(within=0.001), running.wait()
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait().status == -signal.SIGKILL
    return folder


@pytest.fixture(scope="module")
def undamaged(comvae: Comvae, interrupted: Path, tmp_path_factory) -> dict[str, object]:
    """What the interrupted training ends with if its checkpoints are intact."""
    folder = tmp_path_factory.mktemp("undamaged") / "study"
    shutil.copytree(interrupted, folder)
    assert "goes on in epoch" in comvae.succeeds(folder, *train(MODEL, training=LONG))
    return trained(folder, MODEL)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", [cut, flip_a_bit])
def test_a_damaged_checkpoint_is_passed_over_for_the_previous(
    comvae, interrupted, undamaged, tmp_path, damage, suffix
):
    folder = shutil.copytree(interrupted, tmp_path / "study")
    slots = sorted((folder / STATE).glob("checkpoint-*.json"), key=os.path.getmtime)
    newest = slots[-1].with_suffix(suffix)
    damage(newest)
    said = comvae.succeeds(folder, *train(MODEL, training=LONG))
    assert f"{newest.stem}.safetensors: damaged checkpoint, passed over" in said
    assert "goes on in epoch" in said, "from the previous one"
    assert trained(folder, MODEL) == undamaged


def test_without_an_intact_checkpoint_training_begins_anew(
    comvae, interrupted, undamaged, tmp_path
):
    folder = shutil.copytree(interrupted, tmp_path / "study")
    for path in (folder / STATE).glob("checkpoint-*.safetensors"):
        flip_a_bit(path)
    said = comvae.succeeds(folder, *train(MODEL, training=LONG))
    assert said.count("damaged checkpoint, passed over: found SHA-256") == 2
    assert f"{STATE}: found no intact checkpoint; training begins anew" in said
    assert "goes on in epoch" not in said
    assert trained(folder, MODEL) == undamaged


@pytest.mark.parametrize(
    "name,damage",
    [
        ("weights.safetensors", cut),
        ("weights.safetensors", flip_a_bit),
        ("training.json", halve),
    ],
)
def test_a_damaged_block_is_not_evaluated_and_trained_again(
    comvae, study, name, damage
):
    before, metrics = trained(study, MODEL), (study / METRICS).read_bytes()
    path = study / run(MODEL) / name
    damage(path)
    for stage in (evaluate(MODEL), gap(MODEL)):
        message = comvae.refused(study, *stage)
        assert f"{run(MODEL)}/{name}" in message
        assert "delete it and run the study again" in message
    path.unlink()
    comvae.succeeds(study, *train(MODEL))
    assert trained(study, MODEL) == before
    comvae.succeeds(study, *evaluate(MODEL))
    assert (study / METRICS).read_bytes() == metrics


def test_a_damaged_config_is_named_and_written_again(comvae, study):
    path = study / run(MODEL) / "run.json"
    before = path.read_bytes()
    halve(path)
    for stage in (train(MODEL), evaluate(MODEL), gap(MODEL)):
        message = comvae.refused(study, *stage)
        assert f"{run(MODEL)}/run.json" in message and "comvae configure" in message
    configure(comvae, study, models=[MODEL])
    assert path.read_bytes() == before
    comvae.succeeds(study, *evaluate(MODEL))


def cells(study: Path) -> pd.DataFrame:
    table = pd.read_csv(study_in(study / "results") / "tables" / "cells.csv")
    return table.astype(object).fillna("")


@pytest.mark.parametrize(
    "name,damage,status,again",
    [
        (METRICS, empty, "status", evaluate(MODEL)),
        (METRICS, cut, "status", evaluate(MODEL)),
        (f"{run(MODEL)}/history.csv", cut, "status", train(MODEL)),
        (f"{run(MODEL)}/training.json", halve, "status", train(MODEL)),
        (GAPS, halve, "gap", gap(MODEL)),
    ],
)
def test_what_is_damaged_is_missing_in_the_tables_with_the_reason(
    comvae, study, name, damage, status, again
):
    runs = study_in(study / "results") / "tables" / "runs.csv"
    before = pd.read_csv(runs)
    damage(study / name)
    comvae.succeeds(study, "tables")
    assert f"{name} is damaged" in comvae.refused(study, "tables", "--whole")
    assert set(cells(study)[status]) == {"missing"}
    detail = "gap_detail" if status == "gap" else "detail"
    for why in cells(study)[detail]:
        assert f"{name} is damaged" in why
        assert "delete it and run the study again" in why
    assert name in comvae.succeeds(study, "report"), "and in the report"

    (study / name).unlink()
    for stage in (again, ["tables"]):
        comvae.succeeds(study, *stage)
    assert set(cells(study)[status]) <= {"finished", "measured"}
    columns = before.columns.drop(["train_seconds", "git_commit"])
    pd.testing.assert_frame_equal(pd.read_csv(runs)[columns], before[columns])


@pytest.mark.parametrize(
    "name,damage",
    [("table1", cut), ("gaps", empty), ("claims", halve), ("cells", cut)],
)
def test_a_damaged_table_is_named_and_written_again(comvae, study, name, damage):
    path = study_in(study / "results") / "tables" / f"{name}.csv"
    before = path.read_bytes()
    damage(path)
    message = comvae.refused(study, "report")
    assert f"tables/{name}.csv is damaged" in message and "comvae tables" in message
    comvae.succeeds(study, "tables")
    assert path.read_bytes() == before
    comvae.succeeds(study, "report")


@pytest.mark.parametrize("damage", [os.unlink, cut])
def test_a_lost_dataset_file_is_named_with_the_command_that_brings_it_back(
    comvae, study, damage
):
    before = (study / METRICS).read_bytes()
    (study / METRICS).unlink()
    lost = study / Path(DATASET).parent / "test-images.npy"
    damage(lost)
    for stage in (train(MODEL), evaluate(MODEL), gap(MODEL)):
        message = comvae.refused(study, *stage)
        assert "digits/test-images.npy" in message
        said = message.partition("Fetch it again: comvae ")[2].split()
        assert said[:2] == ["fetch", "digits"]
    comvae.succeeds(study, *said)
    comvae.succeeds(study, *evaluate(MODEL))
    assert (study / METRICS).read_bytes() == before


def test_a_deleted_mlflow_database_is_imported_again(comvae, study):
    """All of `results/mlflow` is deleted in test_study_damage.py."""
    comvae.succeeds(study, "track")
    (study / "results" / "mlflow" / "mlflow.db").unlink()
    assert "2 imported" in comvae.succeeds(study, "track")
