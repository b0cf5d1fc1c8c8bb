"""Blocks that start from another's: what they leave as it is, and what they learn."""

import pytest
import torch

from comvae.engine.training import train
from comvae.errors import ResultsError, StoppedError
from comvae.results.weights import load_start, save_block
from tests.engine.steps import history_of, stopped_after
from tests.support import run_config

CPU = torch.device("cpu")
PIXELS = 12
TRAINED_ON = ["half-asleep", "wake"]


def config_of(models, name, seeds, parent="", **training):
    config = run_config(models[name], seeds, **training)
    return config.model_copy(update={"model": name, "parent": parent})


@pytest.fixture
def parent(models, blobs, tmp_path):
    """Two blocks of vanilla, of seeds 0, 3 and 1: where they lie, and their hash."""
    for seeds in ([0, 3], [1]):
        config = config_of(models, "vanilla", seeds)
        place = tmp_path / "vanilla" / config.config_hash / f"seeds-{seeds}"
        place.mkdir(parents=True)
        (place / "run.json").write_text(config.to_json())
        save_block(place, config, train(config, blobs), CPU)
    return tmp_path / "vanilla" / config.config_hash, config.config_hash


def child(models, parent, name="half-asleep", seeds=(3, 1), **training):
    """The config of a block that starts from `parent`, and what it starts from."""
    config = config_of(models, name, list(seeds), parent[1], **training)
    run = parent[0].parents[1] / name / config.config_hash / "seeds-1,3"
    return config, load_start(run, config, PIXELS)


@pytest.mark.parametrize("kernels", ["auto", "off"])
@pytest.mark.parametrize("name", TRAINED_ON)
def test_the_decoder_stays_as_it_is_and_the_encoder_learns(
    name, kernels, models, blobs, parent
):
    config, start = child(models, parent, name, kernels=kernels)
    trained = train(config, blobs, start=start)
    for key, tensor in trained.vae.state_dict().items():
        same = torch.equal(tensor, start.vae.state_dict()[key])
        assert same == key.startswith("decoder."), key
    assert trained.seconds > start.seconds > 0


def test_each_seed_starts_from_its_own(models, blobs, parent):
    config, start = child(models, parent)
    for index, seed in enumerate(config.seeds):
        alone = config_of(models, "vanilla", [seed])
        state = train(alone, blobs).vae.state_dict()
        for key, tensor in start.vae.state_dict().items():
            torch.testing.assert_close(tensor[index], state[key][0])
    assert start.history["seed"].tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize("name", TRAINED_ON)
def test_a_seed_is_the_same_alone_and_beside_another(name, models, blobs, parent):
    beside, alone = (
        train(config, blobs, start=start)
        for config, start in (
            child(models, parent, name, seeds) for seeds in ([3, 1], [1])
        )
    )
    torch.testing.assert_close(
        history_of(1, beside), history_of(1, alone), rtol=1e-6, atol=0
    )


def test_a_stopped_block_goes_on_as_if_it_had_not_been(models, blobs, parent, tmp_path):
    config, start = child(models, parent)
    whole = train(config, blobs, start=start)
    with pytest.raises(StoppedError):
        train(
            config, blobs, state=tmp_path / "state", stop=stopped_after(6), start=start
        )
    resumed = train(config, blobs, state=tmp_path / "state", start=start)
    for key, tensor in whole.vae.state_dict().items():
        assert torch.equal(resumed.vae.state_dict()[key], tensor), key
    assert resumed.history.equals(whole.history)


def test_what_failed_in_the_parent_fails_here(models, blobs, parent):
    config, start = child(models, parent)
    start.failed[3] = "vanilla failed: reconstruction is nan in epoch 1"
    trained = train(config, blobs, start=start)
    assert trained.failed == start.failed
    before, after = (t.vae.encoder.hidden[0].weight for t in (start, trained))
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])
    start.failed[1] = "vanilla failed too"
    assert train(config, blobs, start=start) is start


def test_seeds_that_do_not_fit_together_start_from_their_own(
    models, blobs, parent, monkeypatch
):
    config, start = child(models, parent)
    together = train(config, blobs, start=start)
    monkeypatch.setattr(
        "comvae.engine.training.parts_that_fit",
        lambda config, *rest: [
            config.model_copy(update={"seeds": [seed]}) for seed in config.seeds
        ],
    )
    apart = train(config, blobs, start=start)
    for seed in config.seeds:
        torch.testing.assert_close(
            history_of(seed, apart), history_of(seed, together), rtol=1e-6, atol=0
        )


def test_a_parent_that_is_not_there_or_damaged_is_named(models, parent):
    with pytest.raises(ResultsError, match="the seeds 7 of blobs, expected those that"):
        child(models, parent, seeds=[3, 7])
    place, _ = parent
    weights = place / "seeds-[1]" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ResultsError, match=r"vanilla/.*weights\.safetensors"):
        child(models, parent)
    assert child(models, parent, seeds=[3])[1].seconds > 0
