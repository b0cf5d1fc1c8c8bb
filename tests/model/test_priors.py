"""Priors and weight KLs against torch.distributions and numerical integration."""

import math

import pytest
import torch
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


def test_the_mixture_is_the_paper_s_unless_told_otherwise():
    prior = ScaleMixturePrior()
    assert (prior.pi, prior.slab, math.log(prior.spike)) == (0.5, 1.0, -6.0)


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


def kl_of(prior, estimate="auto") -> ModelOptions:
    return ModelOptions(
        title="any", hidden_layer="bayesian", weight_prior=prior, weight_kl=estimate
    )


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
