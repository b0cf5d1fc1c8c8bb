"""q(z given x) against torch.distributions."""

import torch
from torch.distributions import Normal, kl_divergence

from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian, Gaussian, log_normal, log_prior

GENERATOR = torch.Generator().manual_seed(0)
MEAN = torch.randn(2, 4, 5, generator=GENERATOR)
SCALE = torch.rand(2, 4, 5, generator=GENERATOR) + 0.01
Q = DiagonalGaussian(MEAN, SCALE)


def test_the_kl_is_that_of_torch_distributions():
    expected = kl_divergence(Normal(MEAN, SCALE), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(Q.kl(), expected)


def test_draws_and_their_density_may_have_axes_between_images_and_latents():
    for draws in ((), (3,), (3, 2)):
        eps = torch.randn(2, 4, *draws, 5, generator=GENERATOR)
        z = Q.rsample(eps)
        mean, scale = (t.view(2, 4, *[1] * len(draws), 5) for t in (MEAN, SCALE))
        torch.testing.assert_close(z, mean + scale * eps)
        expected = Normal(mean, scale).log_prob(z).sum(-1)
        torch.testing.assert_close(Q.log_prob(z), expected, rtol=1e-4, atol=1e-4)


def test_the_density_of_the_prior():
    torch.testing.assert_close(log_prior(MEAN), Normal(0.0, 1.0).log_prob(MEAN).sum(-1))
    zero, one = torch.zeros_like(MEAN), torch.ones_like(MEAN)
    torch.testing.assert_close(log_prior(MEAN), log_normal(MEAN, zero, one))


def test_parts_of_the_images_join_to_the_whole():
    parts = [Q.images(slice(0, 1)), Q.images(slice(1, 4))]
    whole = DiagonalGaussian.joined(parts)
    assert torch.equal(whole.mean, MEAN) and torch.equal(whole.scale, SCALE)


def test_the_scale_of_a_latent_is_never_zero():
    family = Gaussian(2, ModelOptions(title="any"), Noise([0], "init"))
    q = family(torch.tensor([[[0.5, 0.5, -1000.0, 0.0]]]))
    assert (q.scale > 0).all() and q.kl().isfinite().all()
    assert q.mean.tolist() == [[[0.5, 0.5]]]
