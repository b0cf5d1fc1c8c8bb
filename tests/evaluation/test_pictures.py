"""Pictures of a block: what the arrays hold, and that no seed depends on another."""

import numpy as np
import pytest
import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.evaluation.encoders import with_evaluated_encoder
from comvae.evaluation.gap import image_indices, measure
from comvae.evaluation.pictures import AROUND, SAMPLES, STEPS, draw_pictures
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.options import StaticBayesian
from comvae.model.vae import VAE
from comvae.study.settings import Gap
from tests.support import run_config

SEEDS = [0, 4]
LATENT = 16


@pytest.fixture(scope="module")
def drawn(models, blobs):
    """A VAE with loud weight noise and what it draws of two seeds, 18 of 20 images."""
    noisy = {"bayesian": StaticBayesian(rho_init=2.0)}
    options = models["simplified-gaussian"].model_copy(update=noisy)
    config = run_config(options, SEEDS)
    vae = build(config, 12)
    return vae, config, draw_pictures(vae, config, blobs, 18, SEEDS)


def decoded(vae: VAE, z: torch.Tensor, index: int) -> np.ndarray:
    """Pixel means in 0..255 of latents (..., latent) of the seed at `index`, by the
    decoder's layers one by one, (..., 3, 4)."""
    for place, layer in enumerate(vae.decoder.layers):
        if place:
            z = z.clamp_min(0)
        z = z @ layer.weight[index] + layer.bias[index]
    return (255 / (1 + (-z).exp())).detach().numpy().reshape(*z.shape[:-1], 3, 4)


def test_arrays_are_a_direct_decode_without_weight_noise(drawn, blobs):
    vae, _, arrays = drawn
    chosen = image_indices(20, 18)
    x = blobs.test[chosen] / 255
    mode = Mode(Noise(SEEDS, "any"), sample_weights=False)
    with torch.no_grad():
        q, _ = vae.encoder(x.expand(2, -1, -1), mode)
        logits = vae.decoder(q.mean)
    for index, seed in enumerate(SEEDS):
        found = arrays[seed]
        assert found["image"].tolist() == chosen
        expected = blobs.test[chosen].numpy().reshape(18, 3, 4)
        assert (found["original"] == expected).all()
        assert found["mean"] == pytest.approx(q.mean[index].numpy(), abs=1e-5)
        assert found["deviation"] == pytest.approx(q.scale[index].numpy(), rel=1e-5)
        exact = decoded(vae, q.mean[index], index)
        assert found["reconstruction"].dtype == np.uint8
        assert np.abs(found["reconstruction"] - exact).max() < 0.51  # rounded
        nats = reconstruction_loss("bernoulli", logits[index], x)
        assert found["reconstruction_nats"] == pytest.approx(nats.numpy(), rel=1e-5)


def test_samples_are_decoded_draws_of_the_prior(drawn):
    vae, _, arrays = drawn
    z = Noise(SEEDS, "pictures").normal("latents", SAMPLES, LATENT)
    for index, seed in enumerate(SEEDS):
        exact = decoded(vae, z[index], index)
        assert np.abs(arrays[seed]["sample"] - exact).max() < 0.51


def test_a_traversal_moves_one_latent_at_a_time(drawn):
    vae, _, arrays = drawn
    for index, seed in enumerate(SEEDS):
        found = arrays[seed]
        assert found["traversal_step"].tolist() == list(STEPS)
        around = found["traversal_image"].tolist()
        assert around[0] == -1 and len(set(around)) == 1 + AROUND
        places = [found["image"].tolist().index(image) for image in around[1:]]
        means = np.concatenate([np.zeros((1, LATENT)), found["mean"][places]])
        assert found["traversal"].shape == (1 + AROUND, LATENT, len(STEPS), 3, 4)
        for anchor, mean in enumerate(means):
            for latent in (0, 7, LATENT - 1):
                z = torch.tensor(np.tile(mean, (len(STEPS), 1)), dtype=torch.float32)
                z[:, latent] = torch.tensor(STEPS)
                exact = decoded(vae, z, index)
                assert np.abs(found["traversal"][anchor, latent] - exact).max() < 0.51


def test_the_images_are_those_whose_gaps_are_measured(models, blobs):
    config = run_config(models["vanilla"], [3], latent=2)
    vae = build(config, 12)
    few = Gap(
        images=7, optimum_iterations=2, final_draws=2, importance_draws=64, ais="off"
    )
    arrays = draw_pictures(vae, config, blobs, few.images, [3])
    gaps = measure(vae, config, blobs, few)
    measured = gaps.loc[gaps["split"] == "test", "image"]
    assert arrays[3]["image"].tolist() == measured.tolist()


@pytest.mark.parametrize("name", ["vanilla", "compound-mixture"])
def test_a_seed_alone_is_pictured_as_in_its_block(name, models, blobs):
    found = []
    for seeds in ([0, 4], [4]):
        config = run_config(models[name], seeds)
        vae = train(config, blobs).vae
        found.append(draw_pictures(vae, config, blobs, 20, seeds)[4])
    beside, alone = found
    assert beside.keys() == alone.keys()
    for key, array in beside.items():
        assert np.array_equal(array, alone[key]), key


def test_only_sound_seeds_are_pictured(drawn, blobs):
    vae, config, arrays = drawn
    broken = build(config, 12)
    broken.load_state_dict(vae.state_dict())
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter[0] = torch.nan
    found = draw_pictures(broken, config, blobs, 18, [4])
    assert list(found) == [4]
    assert all(np.array_equal(arrays[4][key], found[4][key]) for key in found[4])


@pytest.mark.parametrize("name", ["vanilla-prior-encoder", "vanilla-optimal-encoder"])
def test_the_evaluated_encoder_is_the_pictured_one(name, models, blobs):
    config = run_config(models[name], [1], latent=2)
    vae = with_evaluated_encoder(build(config, 12))
    found = draw_pictures(vae, config, blobs, 20, [1])[1]
    prior = (found["mean"] == 0).all() and (found["deviation"] == 1).all()
    assert prior == (name == "vanilla-prior-encoder")
