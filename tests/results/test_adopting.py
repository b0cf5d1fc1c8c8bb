"""Finished blocks are taken over from elsewhere, checked, and never trained again."""

import json
import logging
import os
import shutil

import pytest
import torch

from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.errors import ResultsError
from comvae.results.adopting import adopt
from comvae.results.blocks import is_trained
from comvae.results.weights import load_vae, save_block
from comvae.study.loading import load_study
from comvae.study.plan import plan_blocks
from comvae.study.run_config import load_run_config
from tests.results.written import block_of
from tests.support import MODELS, ROOT

NAMES = ("weights.safetensors", "history.csv", "training.json", "run.json")


@pytest.fixture(scope="module")
def catalogue():
    values = {"study": "t", "datasets": ["digits"], "models": MODELS[:1], "seeds": 2}
    values["training"] = {"epochs": 1, "hidden": 4, "latent": 2}
    models = ROOT / "config" / "models.yaml"
    return load_study(values, source="t.yaml", models=models)


@pytest.fixture
def old(catalogue, tmp_path, blobs: Dataset):
    """A finished block, in another folder than a study has it in."""
    config = catalogue.run_config("digits", "vanilla", [0, 1])
    folder = tmp_path / "old" / "runs" / "digits" / "vanilla" / "seeds-0-1"
    save_block(folder, config, train(config, blobs), torch.device("cpu"))
    (folder / "run.json").write_text(config.to_json())
    for name in NAMES:
        os.utime(folder / name, (1e9, 1e9))
    return folder


def test_a_block_from_elsewhere_is_a_block_of_the_study(
    catalogue, old, tmp_path, blobs
):
    results = tmp_path / "results"
    before = {name: (old / name).read_bytes() for name in NAMES}
    [block] = plan_blocks(catalogue, results)
    assert adopt(tmp_path / "old", results) == [results / "runs" / block.folder]
    config = load_run_config(results / "runs" / block.folder / "run.json")
    assert config == catalogue.run_config("digits", "vanilla", [0, 1])
    folder = results / "runs" / block.folder
    assert is_trained(folder, config)
    load_vae(folder, config, blobs.train.shape[1], "cpu")
    assert plan_blocks(catalogue, results) == [block]
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    assert {(folder / name).stat().st_mtime for name in NAMES} == {1e9}
    assert (folder / NAMES[0]).samefile(old / NAMES[0])
    assert before == {name: (old / name).read_bytes() for name in NAMES}


def test_a_block_of_another_machine_is_taken_over_and_again_changes_nothing(
    old, tmp_path
):
    [first] = adopt(old, tmp_path / "there")
    [second] = adopt(tmp_path / "there", tmp_path / "here")
    assert second.relative_to(tmp_path / "here") == first.relative_to(
        tmp_path / "there"
    )
    dates = {path: path.stat().st_ctime_ns for path in second.iterdir()}
    assert adopt(tmp_path / "there", tmp_path / "here") == [second]
    assert adopt(tmp_path / "here", tmp_path / "here") == [second]
    assert dates == {path: path.stat().st_ctime_ns for path in second.iterdir()}


def test_where_there_are_no_links_files_are_copied(old, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    [folder] = adopt(old, tmp_path / "results")
    assert not (folder / NAMES[0]).samefile(old / NAMES[0])
    assert (folder / NAMES[0]).read_bytes() == (old / NAMES[0]).read_bytes()
    assert (folder / NAMES[0]).stat().st_mtime == 1e9


@pytest.mark.parametrize(
    "name,change,says",
    [
        ("weights.safetensors", lambda b: b[:-1], "weights.safetensors is damaged"),
        ("history.csv", lambda b: b + b"\n", "history.csv is damaged"),
        ("run.json", lambda b: b.replace(b'"latent": 2', b'"latent": 3'), "is of con"),
        ("training.json", lambda b: b"{", "training.json"),
    ],
)
def test_what_is_damaged_is_left_out_with_the_reason(
    old, tmp_path, caplog, name, change, says
):
    other = shutil.copytree(old, tmp_path / "old" / "sound")
    (old / name).write_bytes(change((old / name).read_bytes()))
    with caplog.at_level(logging.WARNING):
        adopted = adopt(tmp_path / "old", tmp_path / "results")
    assert len(adopted) == 1 and other.exists()
    assert "left out" in caplog.text and says in caplog.text


def test_a_block_of_other_arithmetic_is_left_out(old, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("comvae.study.run_config.ARITHMETIC", 1)
    assert adopt(old, tmp_path / "results") == []
    assert "is of config" in caplog.text


def test_a_block_in_training_is_not_disturbed(catalogue, old, tmp_path, caplog):
    config = catalogue.run_config("digits", "vanilla", [0, 1])
    busy = tmp_path / "results" / "runs" / block_of(config).folder / "state"
    busy.mkdir(parents=True)
    assert adopt(old, tmp_path / "results") == []
    assert "is in training" in caplog.text
    assert list(busy.parent.iterdir()) == [busy]


def test_a_folder_without_blocks_is_refused(tmp_path):
    with pytest.raises(ResultsError, match=r"found no training\.json in it or below"):
        adopt(tmp_path, tmp_path / "results")


def test_a_record_of_other_data_has_another_address(catalogue):
    config = catalogue.run_config("digits", "vanilla", [0])
    other = config.model_copy(update={"dataset_sha256": "0" * 64})
    assert other.config_hash != config.config_hash
    assert json.loads(config.to_json())["dataset_sha256"] == config.dataset_sha256
