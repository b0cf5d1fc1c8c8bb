"""A study of more epochs goes on from the finished blocks of fewer."""

import logging
import shutil

import pytest
import torch

from comvae.engine.training import train
from comvae.files import write_text
from comvae.results.adopting import adopt
from comvae.results.continuing import CHECKPOINTS, go_on_from_longest, keep
from comvae.results.weights import save_block
from comvae.study.plan import name_of
from tests.support import run_config

CPU = torch.device("cpu")


def folder_of(results, config):
    block = name_of(tuple(config.seeds))
    return results / "runs" / "blobs" / "any" / config.config_hash / block


def trained(results, config, blobs):
    """As `comvae train` does, and how many epochs that took."""
    folder, taken = folder_of(results, config), []
    write_text(folder / "run.json", config.to_json())
    go_on_from_longest(folder, config, "cpu")
    state = folder / "state"
    done = train(config, blobs, CPU, lambda *_: taken.append(1), state)
    if config.training.keep_optimiser:
        keep(folder)
    save_block(folder, config, done, CPU)
    shutil.rmtree(state, ignore_errors=True)
    return done, len(taken)


def of_epochs(models, epochs, name="vanilla", seeds=(0, 1), **training):
    how = {"keep_optimiser": True} | training
    return run_config(models[name], list(seeds), epochs, **how)


def slots(results):
    return list(results.rglob(f"kept/**/{CHECKPOINTS}"))


def same(one, other):
    weights = other.vae.state_dict()
    assert one.history.equals(other.history)
    for name, tensor in one.vae.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
@pytest.mark.parametrize("name", ["simplified-mixture", "compound-mixture"])
def test_it_goes_on_as_if_it_had_never_ended(name, seeds, models, blobs, tmp_path):
    for epochs in (1, 3):
        trained(tmp_path, of_epochs(models, epochs, name, seeds), blobs)
    longer = of_epochs(models, 5, name, seeds)
    found, epochs = trained(tmp_path, longer, blobs)
    assert epochs == 2, "the longest one is gone on from"
    same(found, train(longer, blobs))
    assert len(slots(tmp_path)) == 3, "each keeps its last state alone"


def test_only_what_was_kept_is_gone_on_from(models, blobs, tmp_path):
    trained(tmp_path, of_epochs(models, 2, keep_optimiser=False), blobs)
    assert not slots(tmp_path)
    assert trained(tmp_path, of_epochs(models, 3), blobs)[1] == 3


@pytest.mark.parametrize(
    "other",
    [
        {"hidden": 32},
        {"learning_rate": 0.01},
        {"name": "compound-mixture"},
        {"seeds": (0, 2)},
        {"epochs": 4},
        {"kernels": "off"},
    ],
)
def test_no_other_training_is_a_beginning(other, models, blobs, tmp_path):
    """Of other settings or seeds, a longer one, or one that rounds otherwise."""
    trained(tmp_path, of_epochs(models, **{"epochs": 2} | other), blobs)
    assert trained(tmp_path, of_epochs(models, 3), blobs)[1] == 3


def test_a_damaged_one_is_passed_over(models, blobs, tmp_path, caplog):
    for epochs in (1, 2):
        trained(tmp_path, of_epochs(models, epochs), blobs)
    [slot] = slots(folder_of(tmp_path, of_epochs(models, 2)))
    slot.write_bytes(slot.read_bytes()[:-1])
    longer = of_epochs(models, 3)
    with caplog.at_level(logging.WARNING, "comvae"):
        found, epochs = trained(tmp_path, longer, blobs)
    assert epochs == 2 and "damaged" in caplog.text
    same(found, train(longer, blobs))


def test_its_own_checkpoint_comes_first(models, blobs, tmp_path):
    trained(tmp_path, of_epochs(models, 2), blobs)
    longer = of_epochs(models, 3)
    shorter = folder_of(tmp_path, of_epochs(models, 2))
    folder = folder_of(tmp_path, longer)
    go_on_from_longest(folder, longer, "cpu")
    own = {path: path.read_bytes() for path in (folder / "state").iterdir()}
    trained(tmp_path, of_epochs(models, 1), blobs)
    shutil.rmtree(shorter)
    go_on_from_longest(folder, longer, "cpu")
    assert {path: path.read_bytes() for path in (folder / "state").iterdir()} == own


def test_what_another_device_trained_is_not_gone_on_from(models, blobs, tmp_path):
    shorter, longer = of_epochs(models, 2), of_epochs(models, 3)
    trained(tmp_path, shorter, blobs)
    go_on_from_longest(folder_of(tmp_path, longer), longer, "NVIDIA H200")
    assert not (folder_of(tmp_path, longer) / "state").exists()


def test_keeping_it_is_no_other_setting(models):
    kept, not_kept = of_epochs(models, 2), of_epochs(models, 2, keep_optimiser=False)
    assert kept.config_hash == not_kept.config_hash
    assert kept.config_hash != of_epochs(models, 3).config_hash


def test_an_adopted_block_is_gone_on_from(models, blobs, tmp_path):
    config = of_epochs(models, 2).model_copy(update={"dataset_sha256": "0" * 64})
    trained(tmp_path / "there", config, blobs)
    here = tmp_path / "here"
    adopt(tmp_path / "there", here)
    longer = of_epochs(models, 3).model_copy(update={"dataset_sha256": "0" * 64})
    assert trained(here, longer, blobs)[1] == 1
