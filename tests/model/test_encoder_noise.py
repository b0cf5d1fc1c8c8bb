"""Noise on what the encoder reads, and dropout of its hidden units."""

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.evaluation.elbo import evaluate
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.study.settings import Evaluation
from tests.support import run_config

SEEDS = [0, 4]


def encoder_with(models, **changes):
    options = models["vanilla"].model_copy(update=changes)
    return build(run_config(options, SEEDS), 12).encoder


def mode(**changes):
    return Mode(Noise(SEEDS, "t"), **changes)


@pytest.fixture
def x(blobs):
    return blobs.to_float(blobs.train).expand(2, -1, -1)


def test_in_training_the_encoder_reads_noisy_pixels(models, x):
    encoder = encoder_with(models, input_noise=0.5)
    noisy = x + 0.5 * Noise(SEEDS, "t").normal("input", 64, 12)
    clean = encoder.outputs(x, mode())[0]
    found = encoder.outputs(x, mode(input_noise=True))[0]
    assert torch.equal(found, encoder.outputs(noisy, mode())[0])
    assert not torch.allclose(found, clean, atol=0.05)


def test_training_reconstructs_the_clean_image_and_evaluation_has_no_noise(
    models, blobs, x
):
    options = models["denoising"].model_copy(update={"input_noise": 3.0})
    config = run_config(options, SEEDS, 1, batch_size=64, learning_rate=1e-9)
    trained, vae = train(config, blobs), build(config, 12)
    noise = Noise(SEEDS, "training")
    x = x[0][noise.permutation("order", 64)]
    terms = vae(x, Mode(noise, input_noise=True))
    noisy = (terms.reconstruction + terms.latent_kl).mean(1)
    found = torch.tensor(trained.history["negative_elbo"].tolist())
    torch.testing.assert_close(found, noisy, rtol=1e-4, atol=1e-4)
    terms = vae(x, mode())
    clean = (terms.reconstruction + terms.latent_kl).mean(1)
    assert (noisy - clean > 2).all()
    table = evaluate(trained.vae, config, blobs, Evaluation())
    rows = table.query("split == 'train'")["negative_elbo"].tolist()
    torch.testing.assert_close(torch.tensor(rows), clean, rtol=0, atol=0.2)


def test_dropout_leaves_out_units_and_scales_up_the_others(models, x):
    """The last layer is linear: the mean over masks is the output without."""
    encoder = encoder_with(models, dropout=0.25)
    how = mode()
    with torch.no_grad():
        drawn = torch.stack([encoder.outputs(x, how)[0] for _ in range(3000)])
        without = encoder.outputs(x, mode(sample_weights=False))[0]
        hidden = encoder.hidden[0](x, how)[0].relu()
    error = drawn.std(0) / 3000**0.5
    assert ((drawn.mean(0) - without) / error).square().mean().sqrt() < 1.1
    weights = encoder.latents.weight.square()
    spread = (hidden.square() @ weights * 0.25 / 0.75).sqrt()
    torch.testing.assert_close(drawn.std(0), spread, rtol=0.15, atol=1e-3)


def test_evaluation_averages_over_dropout_and_has_a_mode_without(models, blobs):
    options = models["mc-dropout"].model_copy(update={"dropout": 0.5})
    config = run_config(options, SEEDS, learning_rate=0.01)
    trained = train(config, blobs)
    table = evaluate(trained.vae, config, blobs, Evaluation(samples=4))
    assert set(table["mode"]) == {"default", "mean-weights"}
    kl = table.set_index(["seed", "split", "mode"])["latent_kl"].unstack()
    assert (kl["default"] != kl["mean-weights"]).all()
    draws = list(
        trained.vae.encoder.posteriors(
            blobs.to_float(blobs.test).expand(2, -1, -1), mode(), 2
        )
    )
    assert not torch.equal(draws[0][0].mean, draws[1][0].mean)


@pytest.mark.parametrize("kernels", ["auto", "off"])
@pytest.mark.parametrize("name", ["denoising", "mc-dropout"])
def test_at_level_zero_each_is_vanilla_to_the_last_bit(name, kernels, models, blobs):
    none = models[name].model_copy(update={"input_noise": 0.0, "dropout": 0.0})
    ours, theirs = (
        train(run_config(options, SEEDS, kernels=kernels), blobs)
        for options in (none, models["vanilla"])
    )
    assert ours.history.equals(theirs.history)
    found, expected = ours.vae.state_dict(), theirs.vae.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["denoising", "mc-dropout"])
def test_other_draws_do_not_depend_on_the_noise(name, models, blobs):
    """Order of the images and latent noise are vanilla's."""
    config = run_config(models[name], SEEDS, kernels="off", learning_rate=1e-12)
    ours = train(config, blobs).history
    theirs = train(config.model_copy(update={"options": models["vanilla"]}), blobs)
    difference = ours["negative_elbo"] - theirs.history["negative_elbo"]
    assert (difference != 0).all() and (difference.abs() < 0.05).all()
