"""An encoder ahead of its decoder: each seed's rules; vanilla where there is none."""

import pytest
import torch

from comvae.engine.step import Engine
from comvae.engine.training import train
from comvae.errors import StoppedError
from comvae.model.noise import Noise
from tests.engine.steps import history_of, stopped_after
from tests.support import run_config

SIZES = {"epochs": 3, "learning_rate": 0.01}


@pytest.fixture
def config(models):
    return run_config(models["aggressive"], [0, 3], **SIZES)


def states(trained):
    return trained.vae.state_dict().items()


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_without_inner_steps_it_is_vanilla(kernels, models, blobs):
    none = models["aggressive"].model_copy(update={"inner_steps": 0})
    vanilla, other = (
        train(run_config(options, [0, 3], kernels=kernels, **SIZES), blobs)
        for options in (models["vanilla"], none)
    )
    for key, tensor in states(other):
        assert torch.equal(tensor, vanilla.vae.state_dict()[key]), key


def test_after_its_phase_it_is_vanilla(config, models, blobs, monkeypatch):
    monkeypatch.setattr("comvae.engine.ahead.PATIENCE", 0)
    other = train(config, blobs)
    vanilla = train(
        run_config(models["vanilla"], [0, 3], kernels="off", **SIZES), blobs
    )
    for key, tensor in states(other):
        assert torch.equal(tensor, vanilla.vae.state_dict()[key]), key
    assert other.history.drop(columns="seed").equals(
        vanilla.history.drop(columns="seed")
    )


def test_the_encoder_moves_first_and_the_decoder_once(config, blobs):
    engine = Engine(config, blobs, torch.device("cpu"))
    before = {k: t.clone() for k, t in engine.vae.state_dict().items()}
    seen, descend = [], engine.descend

    def noted(chosen, weight, mode):
        decoder = engine.vae.decoder.state_dict()
        same = all(torch.equal(t, before[f"decoder.{k}"]) for k, t in decoder.items())
        seen.append((chosen.clone(), same))
        return descend(chosen, weight, mode)

    engine.descend = noted
    engine.begin_epoch()
    engine.take_steps()
    assert 10 < len(seen) <= 100 and all(same for _, same in seen)
    assert (len(seen) - 1) % 10 == 0
    assert torch.equal(seen[0][0], seen[-1][0]) and len(seen[1][0][0].unique()) == 16
    assert not torch.equal(seen[0][0], seen[1][0])
    for key, tensor in engine.vae.state_dict().items():
        assert not torch.equal(tensor, before[key]), key
    assert engine.optimiser.steps == 1
    assert (engine.state()["ahead.taken"] <= len(seen) - 1).all()


def test_an_inner_loop_ends_where_the_loss_of_ten_steps_rises(config, blobs):
    """By hand, seed by seed."""
    engine = Engine(config, blobs, torch.device("cpu"))
    losses, descend = [], engine.descend

    def noted(chosen, weight, mode):
        terms = descend(chosen, weight, mode)
        losses.append((terms.reconstruction + terms.latent_kl).mean(1).detach())
        return terms

    engine.descend = noted
    engine.begin_epoch()
    engine.take_steps()
    taken = engine.state()["ahead.taken"].tolist()
    for seed, steps in enumerate(taken):
        of_ten = torch.stack(losses[:-1])[:, seed].unflatten(0, (-1, 10)).mean(1)
        falls = (of_ten[1:] <= of_ten[:-1]).tolist()
        expected = 10 * (2 + falls.index(False)) if False in falls else 99
        assert steps == expected
    assert max(taken) == len(losses) - 1


def test_the_phase_ends_after_five_epochs_without_more_information(
    config, blobs, monkeypatch
):
    """Of each seed for itself, and counted over all epochs."""
    told = iter(
        torch.tensor(pair, dtype=torch.float64)
        for pair in ([3, 1], [2, 2], [4, 1], [3, 1], [3, 1], [3, 3], [3, 2], [9, 2])
    )
    monkeypatch.setattr("comvae.engine.ahead.mutual_information", lambda q: next(told))
    engine = Engine(config, blobs, torch.device("cpu"))
    aggressive = []
    for _ in range(8):
        engine._ahead.end_epoch()
        aggressive.append(engine._ahead.aggressive().tolist())
    assert aggressive[:6] == [[True, True]] * 6
    assert aggressive[6:] == [[False, True], [False, False]]
    assert engine.state()["ahead.best"].tolist() == [9, 3]


def test_a_seed_is_the_same_alone_and_beside_another(config, blobs):
    both = train(config, blobs)
    alone = train(config.model_copy(update={"seeds": [3]}), blobs)
    torch.testing.assert_close(
        history_of(3, both), history_of(3, alone), rtol=1e-5, atol=1e-5
    )


def test_a_stopped_block_goes_on_as_if_it_had_not_been(config, blobs, tmp_path):
    whole = train(config, blobs)
    with pytest.raises(StoppedError):
        train(config, blobs, state=tmp_path, stop=stopped_after(6))
    resumed = train(config, blobs, state=tmp_path)
    for key, tensor in states(whole):
        assert torch.equal(resumed.vae.state_dict()[key], tensor), key
    assert resumed.history.equals(whole.history)


def test_one_step_of_some_seeds_is_that_of_adam(config, blobs):
    """Each seed at its own number of steps, and the other as it is."""
    engine = Engine(config, blobs, torch.device("cpu"))
    [weight] = [engine.vae.encoder.hidden[0].weight]
    grad = Noise(config.seeds, "t").normal("g", *weight.shape[1:])
    before, taken = weight.detach().clone(), torch.tensor([1.0, 3.0])
    weight.grad = grad
    engine.optimiser.step_seeds([weight], [1], taken)
    assert torch.equal(weight[0], before[0])
    mean, square = 0.1 * grad[1] / (1 - 0.9**3), 0.001 * grad[1] ** 2 / (1 - 0.999**3)
    expected = before[1] - 0.01 * mean / (square.sqrt() + 1e-8)
    torch.testing.assert_close(weight[1].detach(), expected)
