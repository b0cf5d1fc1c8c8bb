"""Priors and weight KLs against torch.distributions and numerical integration."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from comvae.model.layers import in_closed_form, weight_kl
from comvae.model.options import ModelOptions
from comvae.model.priors import GaussianPrior, ScaleMixturePrior

WEIGHTS = torch.tensor([-15.0, -1.0, -0.1, -0.01, -1e-3, 0.0, 0.005, 0.03, 0.5, 3.0])


def reference(prior) -> torch.distributions.Distribution:
    if isinstance(prior, GaussianPrior):
        return Normal(torch.tensor(0.0, dtype=torch.float64), prior.scale)
    probabilities = torch.tensor([prior.pi, 1 - prior.pi], dtype=torch.float64)
    scales = torch.tensor([prior.slab, prior.spike], dtype=torch.float64)
    return MixtureSameFamily(
        Categorical(probabilities), Normal(torch.zeros_like(scales), scales)
    )


@pytest.mark.parametrize(
    "prior",
    [
        GaussianPrior(),
        GaussianPrior(scale=0.3),
        ScaleMixturePrior(),
        ScaleMixturePrior(pi=0.25, slab=2.0, spike=0.05),
    ],
)
def test_log_prob_is_that_of_torch_distributions(prior):
    expected = reference(prior).log_prob(WEIGHTS.double())
    torch.testing.assert_close(
        prior.log_prob(WEIGHTS).double(), expected, rtol=1e-5, atol=1e-4
    )


def test_density_of_the_mixture_integrates_to_one():
    prior = ScaleMixturePrior()

    def density(w):
        return math.exp(prior.log_prob(torch.tensor(w)).item())

    spike, _ = integrate.quad(density, -0.03, 0.03, points=[0.0], limit=200)
    tail, _ = integrate.quad(density, 0.03, 12, limit=200)
    assert spike + 2 * tail == pytest.approx(1, abs=1e-4)


def test_the_spike_is_a_standard_deviation():
    """exp(-6) as a variance would put log p(0) three nats lower."""
    at_zero = ScaleMixturePrior().log_prob(torch.tensor(0.0)).item()
    expected = math.log(
        0.5 * stats.norm.pdf(0, 0, 1) + 0.5 * stats.norm.pdf(0, 0, math.exp(-6))
    )
    assert at_zero == pytest.approx(expected, abs=1e-4)
    assert at_zero == pytest.approx(4.39, abs=0.01)


def test_gradients_survive_where_the_spike_underflows():
    w = torch.tensor([0.5, -5.0, 20.0], requires_grad=True)
    ScaleMixturePrior().log_prob(w).sum().backward()
    torch.testing.assert_close(w.grad, -w.detach())  # there the slab N(0, 1) is alone


@pytest.mark.parametrize("prior", [ScaleMixturePrior(), GaussianPrior(scale=0.01)])
def test_half_precision_weights_are_treated_in_float32_by_every_prior(prior):
    w = torch.tensor([0.5, 0.001])
    torch.testing.assert_close(
        prior.log_prob(w.half()), prior.log_prob(w.half().float())
    )


def test_gaussian_kl_has_its_closed_form():
    mu = torch.linspace(-2, 2, 9).double()
    sigma = torch.linspace(0.01, 3, 9).double()
    for scale in (1.0, 0.2):
        expected = kl_divergence(Normal(mu, sigma), Normal(0 * mu, 0 * mu + scale))
        torch.testing.assert_close(GaussianPrior(scale=scale).kl(mu, sigma), expected)


@pytest.mark.parametrize("mu,sigma", [(0.0, 0.0067), (0.02, 0.0067), (0.3, 0.05)])
def test_sampled_kl_of_the_mixture_has_the_integral_as_its_mean(mu, sigma):
    prior = ScaleMixturePrior()
    eps = torch.randn(200_000, generator=torch.Generator().manual_seed(1))
    means, sigmas = torch.full_like(eps, mu), torch.full_like(eps, sigma)
    sampled = each_nats(kl_of(prior), means, sigmas, eps)

    def integrand(w):
        log_q = stats.norm.logpdf(w, mu, sigma)
        return math.exp(log_q) * (log_q - reference(prior).log_prob(torch.tensor(w)))

    exact, _ = integrate.quad(
        integrand, mu - 8 * sigma, mu + 8 * sigma, points=[mu], limit=400
    )
    error = sampled.std().item() / math.sqrt(len(eps))
    assert sampled.mean().item() == pytest.approx(exact, abs=5 * error)


def test_sampled_kl_of_a_gaussian_prior_agrees_with_the_closed_form():
    eps = torch.randn(200_000, generator=torch.Generator().manual_seed(2))
    mu, sigma = torch.full_like(eps, 0.4), torch.full_like(eps, 0.3)
    estimate = each_nats(kl_of(GaussianPrior(), "sampled"), mu, sigma, eps)
    closed = each_nats(kl_of(GaussianPrior()), mu, sigma, eps)
    error = estimate.std().item() / np.sqrt(len(eps))
    assert estimate.std() > 0
    assert estimate.mean().item() == pytest.approx(closed[0].item(), abs=5 * error)


def kl_of(prior, estimate="auto") -> ModelOptions:
    return ModelOptions(
        title="any", hidden_layer="bayesian", weight_prior=prior, weight_kl=estimate
    )


def each_nats(options, mu, sigma, eps):
    """The KL of each weight: sums over an axis of one."""
    mu, sigma, eps = (t.unsqueeze(1) for t in (mu, sigma, eps))
    return weight_kl(options, mu, sigma, eps, mu + sigma * eps)


@pytest.mark.parametrize("estimate", ["auto", "sampled"])
@pytest.mark.parametrize(
    "prior",
    [
        GaussianPrior(scale=0.3),
        ScaleMixturePrior(),
        ScaleMixturePrior(pi=0.25, slab=2.0, spike=0.05),
    ],
)
def test_weight_kl_and_its_gradients_are_those_of_torch_distributions(prior, estimate):
    """On weights from the middle of the spike to far out, in float64."""
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(2, 5, 40, generator=generator).double()
    mu = torch.randn(2, 5, 40, generator=generator).double() * 0.3
    mu[:, :2] *= 0.01
    sigma = torch.rand(2, 5, 40, generator=generator).double() * 0.05 + 1e-3
    mu, sigma = mu.requires_grad_(), sigma.requires_grad_()
    options, scale = kl_of(prior, estimate), torch.tensor([0.3, 2.0]).double()
    w = mu + sigma * eps
    nats = weight_kl(options, mu, sigma, eps, w)
    found = torch.autograd.grad(nats @ scale, (mu, sigma), retain_graph=True)
    if in_closed_form(options):
        each = kl_divergence(Normal(mu, sigma), Normal(0 * mu, 0 * mu + prior.scale))
    else:
        each = Normal(mu, sigma).log_prob(w) - reference(prior).log_prob(w)
    expected = each.sum((1, 2))
    torch.testing.assert_close(nats, expected)
    wanted = torch.autograd.grad(expected @ scale, (mu, sigma))
    torch.testing.assert_close(found, wanted)
