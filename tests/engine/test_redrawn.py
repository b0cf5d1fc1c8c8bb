"""Binary images that training draws anew in each epoch."""

from dataclasses import replace

import pytest
import torch

from comvae.engine.step import Engine
from comvae.engine.training import train
from comvae.errors import StoppedError
from tests.engine.steps import OnDevice, history_of, stopped_after
from tests.support import run_config


@pytest.fixture
def redrawn(blobs):
    """The blobs as `dynamic` has them: a fixed draw, and the grey images beside it."""
    binary = {split: (getattr(blobs, split) > 99).byte() for split in ("train", "test")}
    return replace(blobs, **binary, pixel_max=1, grey=blobs)


def test_each_epoch_of_each_seed_draws_its_images_anew(models, blobs, redrawn):
    """From the grey images, with the probability of each pixel."""
    epochs, grey = 40, blobs.to_float(blobs.train)
    config = run_config(models["vanilla"], [0, 4], batch_size=24, kernels="off")
    engine = Engine(config, redrawn, torch.device("cpu"))
    seen = []
    engine.vae.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    drawn = torch.empty(epochs, 2, *grey.shape)
    for epoch in range(epochs):
        engine.begin_epoch()
        while not engine.epoch_done:
            engine.take_steps()
        for seed, order in enumerate(engine._order):
            drawn[epoch, seed, order] = torch.cat([x[seed] for x in seen])
        seen.clear()
    assert set(drawn.unique().tolist()) == {0, 1}
    deviation = (drawn.mean((0, 1)) - grey) / (grey * (1 - grey) / 80).sqrt()
    assert deviation[(grey > 0) & (grey < 1)].square().mean().sqrt() < 1.2
    spread = (grey * (1 - grey)).mean() * 2  # of two independent draws of a pixel
    for one, other in ((drawn[:, 0], drawn[:, 1]), (drawn[:-1], drawn[1:])):
        found = (one != other).float().mean()
        torch.testing.assert_close(found, spread, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ["vanilla", "compound-mixture"])
def test_images_drawn_anew_are_the_same_alone_resumed_and_by_number(
    name, models, redrawn, tmp_path, monkeypatch
):
    config = run_config(models[name], [0, 4], batch_size=24)  # and a last one of 16
    whole = history_of(4, train(config, redrawn))
    alone = train(config.model_copy(update={"seeds": [4]}), redrawn)
    with pytest.raises(StoppedError):
        train(config, redrawn, state=tmp_path, stop=stopped_after(4))
    resumed = train(config, redrawn, state=tmp_path)
    monkeypatch.setattr("comvae.engine.training.Engine", OnDevice)
    by_number = train(config, redrawn)
    assert torch.equal(history_of(4, resumed), whole)
    for other in (alone, by_number):
        torch.testing.assert_close(history_of(4, other), whole, rtol=1e-5, atol=1e-6)
