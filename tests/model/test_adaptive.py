"""Layers whose weights change with the image, against the formula and plain layers."""

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.model.adaptive import AdaptiveLinear
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import Adaptive
from comvae.model.vae import encoder_parameters
from tests.support import run_config

MODE = Mode(Noise([0, 4], "t"))


def of_rank(models, rank):
    return models["ia-vae"].model_copy(update={"adaptive": Adaptive(rank=rank)})


def test_each_image_has_weights_of_its_own(models):
    """W + sum_r s_r A_r and b + sum_r s_r a_r, image by image."""
    layer = AdaptiveLinear(5, 3, of_rank(models, 2), Noise([0, 4], "init"))
    generator = torch.Generator().manual_seed(0)
    for change in (layer.change, layer.bias_change):
        change.data = torch.randn(change.shape, generator=generator)
    x = torch.rand(2, 6, 5, generator=generator)
    h, kl = layer(x, MODE)
    assert (kl == 0).all()
    for seed in range(2):
        for image in range(6):
            own = x[seed, image]
            s = own / own.square().mean().sqrt() @ layer.inner[seed]
            weights = layer.weight[seed] + torch.einsum(
                "r,iro->io", s, layer.change[seed].view(5, 2, 3)
            )
            bias = layer.bias[seed] + s @ layer.bias_change[seed]
            expected = own @ weights + bias
            torch.testing.assert_close(h[seed, image], expected, rtol=1e-3, atol=1e-4)


def test_of_rank_zero_it_is_vanilla_to_the_last_bit(models, blobs):
    ours, theirs = (
        train(run_config(options, [0, 4], kernels="off"), blobs)
        for options in (of_rank(models, 0), models["vanilla"])
    )
    assert ours.history.equals(theirs.history)
    found, expected = ours.vae.state_dict(), theirs.vae.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_it_starts_as_vanilla_and_not_only_its_shared_weights_are_trained(
    models, blobs
):
    x = blobs.to_float(blobs.train).expand(2, -1, -1)
    ours, theirs = (
        build(run_config(models[name], [0, 4]), 12) for name in ("ia-vae", "vanilla")
    )
    assert torch.equal(ours.encoder(x, MODE)[0].mean, theirs.encoder(x, MODE)[0].mean)
    trained = train(run_config(models["ia-vae"], [0, 4]), blobs).vae
    start = dict(ours.named_parameters())
    for name, parameter in trained.named_parameters():
        assert (parameter != start[name]).any(), name


@pytest.mark.parametrize("rank", [0, 16])
def test_its_parameters_are_counted(rank, models):
    options = of_rank(models, rank)
    encoder = build(run_config(options, [0]), 12).encoder
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert encoder_parameters(12, 16, 16, options) == count
