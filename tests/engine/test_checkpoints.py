"""Checkpoints: what is damaged, foreign or hostile is never taken for good."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch

from comvae.engine.checkpoints import Checkpoints
from comvae.errors import ResultsError


def saved(folder: Path, count: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(folder, "abc", [0, 1])
    for number in range(count):
        tensor = torch.full((2, 3), float(number))
        checkpoints.save({"w": tensor}, {"epoch": number})
    return checkpoints


def reopened(folder: Path) -> Checkpoints:
    return Checkpoints(folder, "abc", [0, 1])


def test_the_newest_is_read_back_with_its_record(tmp_path):
    saved(tmp_path, 3)
    found = reopened(tmp_path).load()
    assert found.record["epoch"] == 2 and found.number == 2
    assert torch.equal(found.tensors["w"], torch.full((2, 3), 2.0))


def test_two_files_take_turns_across_processes(tmp_path):
    saved(tmp_path, 3)
    again = reopened(tmp_path)
    again.load()
    again.save({"w": torch.zeros(1)}, {"epoch": 3})
    numbers = {json.loads(p.read_text())["number"] for p in tmp_path.glob("*.json")}
    assert numbers == {2, 3}
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_there_is_none_in_an_empty_or_missing_folder(tmp_path):
    assert reopened(tmp_path).load() is None
    assert reopened(tmp_path / "missing").load() is None


def newest(folder: Path) -> Path:
    return folder / "checkpoint-1.safetensors"  # the second of two


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1  # within the tensor: safetensors itself would not notice
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lose_the_record(path: Path) -> None:
    path.with_suffix(".json").unlink()


def break_the_record(path: Path) -> None:
    path.with_suffix(".json").write_text('{"number": 1')


DAMAGES = [truncate, flip_a_bit, empty, lose_the_record, break_the_record]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_for_the_previous(damage, tmp_path, caplog):
    saved(tmp_path)
    damage(newest(tmp_path))
    found = reopened(tmp_path).load()
    assert found.record["epoch"] == 0
    assert "checkpoint-1.safetensors: damaged checkpoint, passed over" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_an_intact_one_training_begins_anew(damage, tmp_path):
    saved(tmp_path)
    for path in list(tmp_path.glob("*.safetensors")):
        damage(path)
    assert reopened(tmp_path).load() is None


def test_a_pickle_in_its_place_is_not_executed(tmp_path):
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    saved(tmp_path, 1)
    path = tmp_path / "checkpoint-0.safetensors"
    for hostile in (pickle.dumps(Hostile()), zipped(Hostile(), tmp_path)):
        path.write_bytes(hostile)
        record = json.loads(path.with_suffix(".json").read_text())
        record["sha256"] = hashlib.sha256(hostile).hexdigest()
        path.with_suffix(".json").write_text(json.dumps(record))
        assert reopened(tmp_path).load() is None
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Hostile()))  # it would have been
    assert (tmp_path / "executed").exists()


def zipped(hostile: object, folder: Path) -> bytes:
    torch.save(hostile, folder / "hostile.pt")
    return (folder / "hostile.pt").read_bytes()


@pytest.mark.parametrize("other", [("xyz", [0, 1]), ("abc", [0, 2])])
def test_one_of_other_settings_is_refused_by_name(other, tmp_path):
    saved(tmp_path)
    with pytest.raises(ResultsError, match=r"checkpoint-\d.*abc.*remove the folder"):
        Checkpoints(tmp_path, *other).load()


def test_a_kill_while_writing_leaves_the_previous_one(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, 2)
    monkeypatch.setattr("comvae.engine.tensors.sha256_of", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpoints.save({"w": torch.zeros(1)}, {"epoch": 9})
    monkeypatch.undo()
    assert reopened(tmp_path).load().record["epoch"] == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_no_single_bit_of_a_record_can_change_unseen(tmp_path):
    """Epoch, history and checksums are in the JSON file, where a digit is a digit."""
    saved(tmp_path)
    path = newest(tmp_path).with_suffix(".json")
    content = path.read_bytes()
    whole = reopened(tmp_path).load().record
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        record = reopened(tmp_path).load().record
        assert record == whole or record["epoch"] == 0, damaged


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    saved(tmp_path)
    left = tmp_path / ".checkpoint-0.safetensors.abc123.safetensors"
    left.write_bytes(b"half")
    assert reopened(tmp_path).load().record["epoch"] == 1
    assert not left.exists() and len(list(tmp_path.iterdir())) == 4
