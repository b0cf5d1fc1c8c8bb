"""Lockstep, determinism, steps and failure of training, for the models of Table 1."""

import math
from dataclasses import replace

import pytest
import torch

from comvae.datasets.loading import Dataset
from comvae.engine.build import build
from comvae.engine.checkpoints import Checkpoints
from comvae.engine.fused import FusedAdam
from comvae.engine.memory import bytes_per_seed
from comvae.engine.step import Engine, matters
from comvae.engine.training import train
from comvae.errors import SettingsError, StoppedError
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import complexity_weights
from comvae.model.vae import VAE
from tests.engine.steps import TERMS, OnDevice, history_of, stopped_after
from tests.support import MODELS, run_config

BLOCKS = [[3], [3, 1], [0, 1, 2, 3, 4]]


@pytest.fixture
def in_float64(monkeypatch):
    """In float64 Adam turns no rounding of a gradient near zero into a step."""
    to_float = Dataset.to_float
    monkeypatch.setattr(Dataset, "to_float", lambda *of: to_float(*of).double())
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained_in_blocks(options, blobs, kernels):
    return [
        train(run_config(options, block, 3, kernels=kernels), blobs) for block in BLOCKS
    ]


def check_weights(results, **bounds):
    """Those of seed 3 are the same in each of BLOCKS."""
    alone = results[0].vae.state_dict()
    for block, trained in zip(BLOCKS[1:], results[1:], strict=True):
        for key, tensor in trained.vae.state_dict().items():
            own = tensor[block.index(3)]
            torch.testing.assert_close(own, alone[key][0], **bounds)


@pytest.mark.parametrize("kernels", ["off", "auto"])
@pytest.mark.parametrize("name", MODELS)
def test_a_seed_is_the_same_alone_in_two_and_in_five(name, kernels, models, blobs):
    """Its terms to the last bit, since every tensor of one seed is a multiple of 16
    long here; but for the sum that is the weight KL, which nothing depends on."""
    results = trained_in_blocks(models[name], blobs, kernels)
    alone = history_of(3, results[0])
    for trained in results[1:]:
        beside = history_of(3, trained)
        assert torch.equal(beside[:, :3], alone[:, :3])
        torch.testing.assert_close(beside, alone, rtol=1e-6, atol=0)
    if kernels == "auto":
        check_weights(results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_its_weights_are_the_same_without_kernels(name, models, blobs, in_float64):
    """PyTorch multiplies the matrices of one seed by another routine than those of
    several."""
    check_weights(trained_in_blocks(models[name], blobs, "off"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_is_the_same_within_float32_at_odd_sizes(name, models, blobs):
    """Which elements fall to vector instructions, and which to the rest that rounds
    otherwise, depends on the seeds beside it. One epoch: the spike of the mixture prior
    multiplies a rounding error by about ten in each further one."""
    sizes = {"epochs": 1, "batch_size": 15, "hidden": 7, "latent": 3}
    alone, beside = (
        train(run_config(models[name], block, **sizes), blobs)
        for block in ([3], [1, 3])
    )
    torch.testing.assert_close(
        history_of(3, beside), history_of(3, alone), rtol=1e-5, atol=1e-6
    )


def test_other_seeds_differ(models, blobs):
    trained = train(run_config(models["vanilla"], [0, 1]), blobs)
    assert not torch.allclose(history_of(0, trained), history_of(1, trained))


def train_by_hand(config, images) -> tuple[VAE, torch.Tensor]:
    """The model, and TERMS of (epoch, seed), one plain step of Adam at a time."""
    noise, vae = Noise(config.seeds, "training"), build(config, 12)
    optimiser = torch.optim.Adam(vae.parameters(), lr=config.training.learning_rate)
    size = config.training.batch_size
    minibatches, history = math.ceil(len(images) / size), []
    for _ in range(config.training.epochs):
        order, parts = noise.permutation("order", len(images)), []
        for i in range(1, minibatches + 1):
            x = images[order[:, (i - 1) * size : i * size]] / 255
            terms = vae(x, Mode(noise, batch_statistics=True, update_statistics=True))
            pi = 2.0**-i / (1 - 2.0**-minibatches)
            data = (terms.reconstruction + terms.latent_kl).sum(1)
            if config.options.data_term == "mean":
                data = data / x.shape[1]
            optimiser.zero_grad()
            (data + pi * terms.weight_kl).sum().backward()
            optimiser.step()
            parts.append(terms)
        reconstruction = torch.cat([part.reconstruction for part in parts], 1).mean(1)
        latent_kl = torch.cat([part.latent_kl for part in parts], 1).mean(1)
        weight_kl = torch.stack([part.weight_kl for part in parts]).mean(0)
        negative_elbo = reconstruction + latent_kl
        history.append(
            torch.stack([reconstruction, latent_kl, negative_elbo, weight_kl], 1)
        )
    return vae, torch.stack(history).detach()


@pytest.mark.parametrize(
    "name", ["vanilla", "simplified-gaussian", "compound-gaussian"]
)
def test_training_is_adam_on_the_loss_one_minibatch_after_the_other(
    name, models, blobs
):
    """64 images, 24 at a time: the last minibatch has 16."""
    sizes = {"batch_size": 24, "learning_rate": 0.003, "kernels": "off"}
    config = run_config(models[name], [0, 4], **sizes)
    calls = []
    trained = train(config, blobs, on_epoch=lambda epoch, rows: calls.append(epoch))
    vae, history = train_by_hand(config, blobs.train)
    for s, seed in enumerate(config.seeds):
        table = trained.history[trained.history["seed"] == seed]
        assert table["epoch"].tolist() == calls == [1, 2]
        torch.testing.assert_close(
            torch.tensor(table[TERMS].to_numpy()).float(),
            history[:, s],
            rtol=1e-4,
            atol=1e-4,
        )
    for key, tensor in vae.state_dict().items():
        # the median: Adam moves a weight without gradient by the sign of its rounding
        difference = (trained.vae.state_dict()[key] - tensor).abs()
        assert difference.median() < 1e-6, key


def test_the_mean_weight_kl_is_over_the_minibatches_that_have_it(
    models, blobs, monkeypatch
):
    """Of 32 minibatches the last 29 have none."""
    config = run_config(
        models["simplified-gaussian"], [0], 1, batch_size=2, learning_rate=1e-12
    )
    vae = build(config, 12)
    _, kl = vae.encoder(torch.rand(1, 2, 12), Mode(Noise([0], "t")))
    monkeypatch.setattr("comvae.engine.step.matters", lambda weight, _: weight > 0.1)
    row = train(config, blobs).history.iloc[0]
    assert row["weight_kl"] == pytest.approx(kl.item(), rel=1e-5)


@pytest.mark.parametrize("failing", [[1], [0, 1]])
def test_a_seed_that_diverges_is_named_and_leaves_the_others_alone(
    failing, models, blobs, monkeypatch
):
    """Training ends where all have failed."""
    config = run_config(models["compound-mixture"], [0, 1])
    undisturbed = train(config, blobs)

    def poisoned(*arguments):
        vae = build(*arguments)
        vae.decoder.layers[0].weight.data[failing] = torch.nan
        return vae

    monkeypatch.setattr("comvae.engine.step.build", poisoned)
    trained = train(config, blobs)
    assert trained.failed == dict.fromkeys(failing, "reconstruction is nan in epoch 1")
    if failing == [1]:
        assert torch.equal(history_of(0, trained), history_of(0, undisturbed))
    else:
        assert set(trained.history["epoch"]) == {1}


@pytest.mark.parametrize("maps,hidden", [(True, False), (False, True), (False, False)])
def test_a_last_minibatch_of_one_image_is_refused_where_batch_norm_needs_two(
    maps, hidden, models, blobs
):
    options = models["compound-gaussian"].model_copy(
        update={"batch_norm_maps": maps, "batch_norm_hidden": hidden}
    )
    config = run_config(options, [0], batch_size=63, epochs=1)
    if not (maps or hidden):
        train(config, blobs)
        return
    with pytest.raises(SettingsError, match=r"batch_size: found 63.*two"):
        train(config, blobs)


def test_moments_of_pixels_that_are_rarely_ink_never_become_subnormal(models, blobs):
    """On MNIST they did after 830 steps, and each step took five times as long."""
    images = blobs.train.clone()
    images[:, 3] = 0
    images[0, 3] = 255  # one image in 64 has ink there
    rare = replace(blobs, train=images)
    config = run_config(models["vanilla"], [0], epochs=1)
    moments = []

    class Watched(FusedAdam):
        def step(self, count=1):
            for _ in range(300):  # as many steps without ink as decay 0.9^1200 needs
                super().step(count)
            state = next(iter(self.state.values()))
            moments.append(state["exp_avg"].abs().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("comvae.engine.step.FusedAdam", Watched)
        train(config, rare)
    smallest = torch.finfo(torch.float32).tiny
    for moment in moments:
        assert not ((moment > 0) & (moment < smallest)).any()


@pytest.mark.parametrize("name", ["vanilla", "simplified-mixture", "compound-mixture"])
def test_a_block_too_large_for_memory_is_split_and_gives_the_same(
    name, models, blobs, monkeypatch, caplog
):
    """Memory for two and a half seeds: [0, 1], [2, 3], [4]."""
    config = run_config(models[name], [0, 1, 2, 3, 4])
    whole = train(config, blobs)
    need = bytes_per_seed(config, 12)
    monkeypatch.setattr("comvae.engine.memory.KEPT_FREE", 0)
    monkeypatch.setattr(
        "comvae.engine.memory.free_memory",
        lambda device: 2.5 * need + blobs.train.numel(),
    )
    with caplog.at_level("INFO"):
        split = train(config, blobs)
    assert "they train 2 at a time" in caplog.text
    columns = ["reconstruction", "latent_kl", "negative_elbo"]
    assert split.history["seed"].tolist() == whole.history["seed"].tolist()
    assert split.history[columns].equals(whole.history[columns])
    for key, tensor in whole.vae.state_dict().items():
        torch.testing.assert_close(
            split.vae.state_dict()[key], tensor, rtol=1e-5, atol=1e-6
        )


def test_running_out_of_gpu_memory_halves_the_seeds(models, blobs, monkeypatch, caplog):
    """The estimate of the memory can be wrong: here more than two seeds never fit."""
    config = run_config(models["vanilla"], [0, 1, 2, 3, 4])
    whole = train(config, blobs)

    def limited(config, *arguments):
        if len(config.seeds) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return Engine(config, *arguments)

    monkeypatch.setattr("comvae.engine.training.Engine", limited)
    with caplog.at_level("INFO"):
        split = train(config, blobs)
    assert "3 seeds at a time" in caplog.text and "2 seeds at a time" in caplog.text
    assert split.history.equals(whole.history)


def test_one_seed_too_large_for_a_gpu_is_refused_by_name(models, blobs, monkeypatch):
    def limited(*arguments):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("comvae.engine.training.Engine", limited)
    with pytest.raises(SettingsError, match=r"not even one seed.*training\.hidden"):
        train(run_config(models["vanilla"], [0, 1]), blobs)


@pytest.mark.parametrize("name", ["vanilla", "compound-mixture"])
def test_memory_of_a_seed_is_at_least_that_of_its_parameters_and_moments(name, models):
    config = run_config(models[name], [0])
    parameters = build(config, 12).parameters_per_seed()
    assert 16 * parameters < bytes_per_seed(config, 12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_training_that_was_stopped_goes_on_to_the_same_weights(
    name, steps, models, blobs, tmp_path, monkeypatch
):
    """In an epoch, at its end and in the next one; four minibatches an epoch."""
    config = run_config(models[name], [0, 4], epochs=3)
    whole = train(config, blobs)
    monkeypatch.setattr("comvae.engine.training.STEPS_AT_ONCE", 1)
    with pytest.raises(StoppedError, match="the same command goes on"):
        train(config, blobs, state=tmp_path, stop=stopped_after(steps))
    resumed = train(config, blobs, state=tmp_path)
    assert resumed.history.equals(whole.history)
    for key, tensor in whole.vae.state_dict().items():
        assert torch.equal(resumed.vae.state_dict()[key], tensor), key


def test_checkpoints_that_are_due_make_no_difference(models, blobs, tmp_path):
    config = run_config(models["compound-mixture"], [0, 4])
    whole = train(config, blobs)
    saved = train(config, blobs, state=tmp_path, checkpoint_every=0)
    assert saved.history.equals(whole.history)
    assert (tmp_path / "checkpoint-0.safetensors").exists()
    again = train(config, blobs, state=tmp_path)  # nothing is left to do
    assert again.history.equals(whole.history)


def test_a_seed_that_diverges_keeps_its_last_good_checkpoint(
    models, blobs, tmp_path, monkeypatch
):
    """Seed 1 becomes NaN in its sixth step, in the second epoch of four minibatches."""
    config = run_config(models["compound-mixture"], [0, 1], epochs=3)
    undisturbed = train(config, blobs)
    with pytest.raises(StoppedError):
        train(config, blobs, state=tmp_path / "five", stop=stopped_after(5))
    of = config.hash_at_any_epoch, config.seeds
    good = Checkpoints(tmp_path / "five", *of).load()

    class Diverging(Engine):
        def take_steps(self, most=1):
            super().take_steps()
            if (self.epoch, self.step) == (2, 2):
                self.vae.decoder.layers[0].weight.data[1] = torch.nan

    def last_checkpoint_after_five_steps():
        questions = iter(range(1, 100))
        return lambda: next(questions) == 5

    monkeypatch.setattr("comvae.engine.training.Engine", Diverging)
    state = tmp_path / "diverging"
    with pytest.raises(StoppedError):
        train(config, blobs, state=state, stop=last_checkpoint_after_five_steps())
    trained = train(config, blobs, state=state)
    assert trained.failed == {1: "reconstruction is nan in epoch 2"}
    assert torch.equal(history_of(0, trained), history_of(0, undisturbed))
    kept = trained.vae.state_dict()
    parameters = [name for name, _ in trained.vae.named_parameters()]
    for name in parameters:
        assert torch.equal(kept[name][1], good.tensors[f"vae.{name}"][1]), name
        assert not torch.equal(kept[name][0], good.tensors[f"vae.{name}"][0]), name


@pytest.mark.parametrize("name", MODELS)
def test_a_step_that_knows_its_number_from_the_device_is_the_same(name, models, blobs):
    config = run_config(models[name], [0, 4], batch_size=24)  # and a last one of 16
    usual = train(config, blobs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("comvae.engine.training.Engine", OnDevice)
        captured = train(config, blobs)
    torch.testing.assert_close(
        history_of(4, captured), history_of(4, usual), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("random_weights,least,most", [(2410, 30, 36), (79410, 36, 42)])
def test_a_weight_kl_is_left_out_only_where_float32_cannot_see_it(
    random_weights, least, most
):
    """Digits and MNIST: 8 nats a weight, beside a loss of 16, move no bit of it."""
    weights = complexity_weights("blundell", 1875).tolist()
    loss = torch.tensor(16.0)
    for weight in weights:
        moved = loss + weight * 8 * random_weights > loss
        assert matters(weight, random_weights) or not moved
    assert least < sum(matters(w, random_weights) for w in weights) < most
    assert not matters(1.0, 0)  # plain weights have no KL
