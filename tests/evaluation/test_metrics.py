"""Metrics against encoders whose aggregate posterior is known."""

import math

import pytest
import torch

from comvae.evaluation import metrics
from comvae.evaluation.encoders import PriorEncoder
from comvae.model import information
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE

MAPS = torch.tensor([[1.0, 0.5, 0.0], [2.0, 0.05, 0.2]])  # (seeds, latent)
SCALES = torch.tensor([[0.5, 0.8, 1.0], [0.7, 1.0, 0.9]])


@pytest.fixture(scope="module")
def linear():
    """q(z given x) = N(a x, s^2) of 40,000 images x from N(0, I): q(z) is Gaussian."""
    x = torch.randn(1, 40_000, 3, generator=torch.Generator().manual_seed(1))
    mean = MAPS[:, None] * x
    return DiagonalGaussian(mean, SCALES[:, None].expand_as(mean))


def test_a_unit_is_active_where_its_mean_varies(linear):
    assert metrics.active_units(None, linear).tolist() == [2, 2]


def test_the_aggregate_posterior_is_the_mean_over_images(linear):
    variance = MAPS**2 + SCALES**2
    known = 0.5 * (variance - 1 - variance.log()).sum(1)
    # the mean over 500 draws of what varies by about 1 nat
    found = metrics.aggregate_kl(None, linear)
    torch.testing.assert_close(found, known.double(), atol=0.15, rtol=0)


def test_mutual_information_is_that_of_a_noisy_channel(linear):
    known = 0.5 * (1 + (MAPS / SCALES) ** 2).log().sum(1)
    found = metrics.mutual_information(None, linear)
    torch.testing.assert_close(found, known.double(), atol=0.15, rtol=0)


def test_an_encoder_that_collapsed_says_nothing():
    mean = torch.zeros(1, 1000, 2)
    prior = DiagonalGaussian(mean, torch.ones_like(mean))
    for name in ("active_units", "aggregate_kl", "mutual_information"):
        assert getattr(metrics, name)(None, prior).item() == pytest.approx(0, abs=1e-6)


def test_of_a_split_it_is_at_most_the_log_of_its_images():
    """Images that nothing confuses: each is told from the others, and no more is."""
    mean = 100.0 * torch.arange(50.0).view(1, 50, 1)
    sharp = DiagonalGaussian(mean, torch.full_like(mean, 0.01))
    found = metrics.mutual_information(None, sharp).item()
    assert found == pytest.approx(math.log(50), abs=1e-4)


def test_the_density_is_the_same_in_pieces(linear, monkeypatch):
    some = linear.images(slice(0, 1000))
    whole = metrics.mutual_information(None, some)
    monkeypatch.setattr(information, "AT_ONCE", 50_000)
    metrics.mutual_information.cache_clear()
    torch.testing.assert_close(metrics.mutual_information(None, some), whole)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_coverage_is_that_of_the_posterior(scale):
    """A decoder that shows nothing of its latents: the posterior is the prior."""
    options = ModelOptions(title="Blind")
    vae = VAE(6, 4, 2, options, Noise([3, 5], "t"))
    with torch.no_grad():
        vae.decoder.layers[-1].weight.zero_()

    class Narrow(PriorEncoder):
        def forward(self, x, mode):
            q, no_kl = super().forward(x, mode)
            return DiagonalGaussian(q.mean, scale * q.scale), no_kl

    vae.encoder = Narrow(2)
    with torch.no_grad():
        found = [
            getattr(metrics, f"coverage_{share}")(vae, None) for share in (50, 80, 95)
        ]
    # a disc that holds the share p of q holds 1 - (1 - p)^(scale^2) of the prior
    for share, each in zip((0.5, 0.8, 0.95), found, strict=True):
        known = 1 - (1 - share) ** (scale**2)
        assert each.tolist() == pytest.approx([known] * 2, abs=0.06)
