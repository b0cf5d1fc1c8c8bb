"""The files of a block: what is read back is what was saved, or one clear message."""

import json
import subprocess
from importlib.metadata import version

import pandas as pd
import pytest
import torch
from safetensors import safe_open

import comvae.results.weights
from comvae.engine.training import train
from comvae.errors import ResultsError
from comvae.results.blocks import is_trained, read_training, sound_seeds
from comvae.results.weights import (
    device_name,
    git_commit,
    load_vae,
    pick_device,
    save_block,
)
from tests.support import MODELS, run_config

CPU = torch.device("cpu")
PIXELS = 12


def saved(folder, options, dataset, **training):
    config = run_config(options, [0, 3], **training)
    trained = train(config, dataset)
    save_block(folder, config, trained, CPU)
    return config, trained


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_block_is_read_back_to_the_last_bit(tmp_path, models, blobs, name):
    config, trained = saved(tmp_path, models[name], blobs)
    loaded = load_vae(tmp_path, config, PIXELS, CPU).state_dict()
    expected = trained.vae.state_dict()
    assert list(loaded) == list(expected) and len(loaded) > 4
    for key, tensor in expected.items():
        assert torch.equal(loaded[key], tensor), key
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "history.csv"), trained.history, check_exact=False
    )


def test_the_first_axis_of_every_tensor_is_the_seed(tmp_path, models, blobs):
    saved(tmp_path, models["compound-mixture"], blobs)
    with safe_open(tmp_path / "weights.safetensors", "pt") as weights:
        names = list(weights.keys())
        shapes = [weights.get_slice(name).get_shape() for name in names]
    assert {shape[0] for shape in shapes} == {2}


def test_the_record_says_what_was_trained_where(tmp_path, models, blobs):
    config, trained = saved(tmp_path, models["vanilla"], blobs)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["config_hash"] == config.config_hash
    assert record["device"] == "cpu" and record["train_seconds"] == trained.seconds
    total = sum(tensor.numel() for tensor in trained.vae.parameters())
    assert record["parameters"] == total // 2, "of one seed, and there are two"
    assert record["failed"] == {} and record["threads"] == 1
    assert record["versions"]["torch"] == version("torch")
    assert record["finished_at"].endswith("+00:00")


def test_a_failed_seed_is_in_the_record_and_not_sound(tmp_path, models, blobs):
    config, _ = saved(tmp_path, models["vanilla"], blobs, learning_rate=1e30)
    failed = read_training(tmp_path).failed
    assert set(failed) == {0, 3} and sound_seeds(tmp_path, config) == []
    assert all(" is " in why and "epoch" in why for why in failed.values())


def test_weights_of_another_config_are_refused(tmp_path, models, blobs):
    config, _ = saved(tmp_path, models["vanilla"], blobs)
    other = run_config(models["vanilla"], [0, 3], epochs=9)
    with pytest.raises(ResultsError) as error:
        load_vae(tmp_path, other, PIXELS, CPU)
    wanted = [config.config_hash, other.config_hash, str(tmp_path), "train it again"]
    for word in wanted:
        assert word in str(error.value)


def test_weights_of_other_seeds_or_images_are_refused(tmp_path, models, blobs):
    """The hash leaves the seeds out, the shapes do not."""
    saved(tmp_path, models["vanilla"], blobs)
    for seeds, pixels in (([0], PIXELS), ([0, 3, 4], PIXELS), ([0, 3], PIXELS + 1)):
        with pytest.raises(ResultsError, match=r"weights\.safetensors"):
            load_vae(tmp_path, run_config(models["vanilla"], seeds), pixels, CPU)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_cut_weights_are_refused(tmp_path, models, blobs, kept):
    config, _ = saved(tmp_path, models["vanilla"], blobs)
    path = tmp_path / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ResultsError) as error:
        load_vae(tmp_path, config, PIXELS, CPU)
    assert str(path) in str(error.value) and "run the study again" in str(error.value)


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_a_damaged_record_is_one_message(tmp_path, models, blobs, text):
    config, _ = saved(tmp_path, models["vanilla"], blobs)
    path = tmp_path / "training.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ResultsError, match=r"training\.json is (missing|damaged)"):
        load_vae(tmp_path, config, PIXELS, CPU)


def test_a_flipped_bit_in_the_weights_is_seen(tmp_path, models, blobs):
    """safetensors itself checks the header alone."""
    config, _ = saved(tmp_path, models["vanilla"], blobs)
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    assert is_trained(tmp_path, config)
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"weights\.safetensors is damaged.*SHA-256"):
        load_vae(tmp_path, config, PIXELS, CPU)
    assert not is_trained(tmp_path, config)


def test_blocks_from_before_checksums_are_read(tmp_path, models, blobs):
    config, _ = saved(tmp_path, models["vanilla"], blobs)
    path = tmp_path / "training.json"
    record = json.loads(path.read_text())
    assert set(record.pop("sha256")) == {"weights.safetensors", "history.csv"}
    path.write_text(json.dumps(record))
    load_vae(tmp_path, config, PIXELS, CPU)
    assert is_trained(tmp_path, config)


def test_what_killed_processes_left_is_removed(tmp_path, models, blobs):
    left = tmp_path / ".weights.safetensors.abc123.safetensors"
    left.touch()
    saved(tmp_path, models["vanilla"], blobs)
    assert not left.exists()


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    """Outside a checkout, in a clean one, and where a file was changed since."""
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    module = tmp_path / "code" / "artifacts.py"
    module.parent.mkdir()
    module.touch()
    monkeypatch.setattr(comvae.results.weights, "__file__", str(module))
    assert git_commit() == "unknown"
    git(module.parent, "init", "--quiet")
    git(module.parent, "add", ".")
    git(module.parent, "commit", "--quiet", "--message", "first")
    git(module.parent, "tag", "--annotate", "v1", "--message", "v1")
    commit = git(module.parent, "rev-parse", "HEAD")[:12]
    assert git_commit() == commit, "a tag is no commit"
    module.write_text("changed")
    assert git_commit() == f"{commit}-dirty"


def test_the_commit_needs_no_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() == "unknown"


def test_devices():
    assert pick_device("cpu") == CPU and device_name(CPU) == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == expected


def test_some_seeds_of_a_block_can_be_read_alone(tmp_path, models, blobs):
    """Those whose training failed are left out of what is measured."""
    config, trained = saved(tmp_path, models["compound-mixture"], blobs)
    loaded = load_vae(tmp_path, config, PIXELS, CPU, seeds=[3])
    for key, tensor in trained.vae.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor[1:]), key
    assert sound_seeds(tmp_path, config) == [0, 3]
