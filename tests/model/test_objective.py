"""The terms of the objective against closed forms, distributions and quadrature."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch.distributions import ContinuousBernoulli

from comvae.model.objective import (
    Terms,
    complexity_weights,
    minibatch_loss,
    reconstruction_loss,
)


@settings(deadline=None)
@given(st.integers(1, 100_000))
def test_blundell_weights_sum_to_one_and_halve(minibatches):
    weights = complexity_weights("blundell", minibatches)
    assert len(weights) == minibatches
    assert weights.sum().item() == pytest.approx(1, abs=1e-12)
    first = 1.0 if minibatches == 1 else 0.5 / (1 - 2.0 ** -min(minibatches, 1000))
    assert weights[0].item() == pytest.approx(first, abs=1e-12)
    assert torch.isfinite(weights).all() and (weights >= 0).all()
    large = weights[weights > 1e-300]
    torch.testing.assert_close(large[1:] / large[:-1], torch.full_like(large[1:], 0.5))


def test_other_schemes():
    assert complexity_weights("uniform", 45).sum().item() == pytest.approx(1)
    assert (complexity_weights("uniform", 45) == 1 / 45).all()
    assert (complexity_weights("none", 45) == 1).all()


def test_loss_is_the_mean_or_the_sum_over_images_plus_the_weighted_kl(models):
    terms = Terms(
        torch.tensor([[1.0, 3.0], [5.0, 7.0]]),
        torch.tensor([[0.5, 1.5], [2.5, 3.5]]),
        torch.tensor([100.0, 200.0]),
    )
    options = models["compound-mixture-mean"]
    torch.testing.assert_close(
        minibatch_loss(terms, 0.25, options), torch.tensor([28.0, 59.0])
    )
    torch.testing.assert_close(
        minibatch_loss(terms, 0.25, models["compound-mixture"]),
        torch.tensor([31.0, 68.0]),
    )
    own = replace(terms, negative_bound=torch.tensor([[0.0, 2.0], [3.0, 5.0]]))
    torch.testing.assert_close(
        minibatch_loss(own, 0.25, options), torch.tensor([26.0, 54.0])
    )


def test_bernoulli_reconstruction_is_the_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = 10 * torch.randn(2, 3, 50, generator=generator)
    x = torch.rand(2, 3, 50, generator=generator)
    p = logits.double().sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(
        reconstruction_loss("bernoulli", logits, x).double(),
        expected,
        rtol=1e-4,
        atol=0,
    )


def test_reconstruction_stays_finite_for_extreme_logits():
    logits = torch.tensor([[-200.0, 200.0, 500.0]], requires_grad=True)
    loss = reconstruction_loss("bernoulli", logits, torch.tensor([[0.0, 1.0, 0.0]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(500)
    assert torch.isfinite(logits.grad).all()


def test_continuous_bernoulli_is_that_of_torch_distributions_and_normalised():
    logits = torch.tensor([-30.0, -2.0, -0.02, -1e-4, 0.0, 0.005, 0.5, 4.0])
    x = torch.full_like(logits, 0.3)
    expected = -ContinuousBernoulli(logits=logits.double()).log_prob(x.double())
    ours = reconstruction_loss("continuous-bernoulli", logits[:, None], x[:, None])
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)

    def density(value, logit):
        arguments = torch.tensor([[logit]]), torch.tensor([[value]])
        return math.exp(-reconstruction_loss("continuous-bernoulli", *arguments).item())

    for logit in (-3.0, 0.001, 2.0):
        integral, _ = integrate.quad(density, 0, 1, args=(logit,), epsabs=1e-4)
        assert integral == pytest.approx(1, abs=1e-3)


def test_gradient_of_the_continuous_bernoulli_is_finite_at_zero():
    logits = torch.zeros(1, 3, requires_grad=True)
    reconstruction_loss("continuous-bernoulli", logits, torch.rand(1, 3)).backward()
    assert torch.isfinite(logits.grad).all()


def test_log_normaliser_of_the_continuous_bernoulli_near_zero():
    """The slope of the series against that of the closed form in float64."""
    logits = torch.tensor([[-0.009, -0.001, 0.004, 0.0099]], requires_grad=True)
    x = torch.full_like(logits, 0.5)
    difference = reconstruction_loss("bernoulli", logits, x) - reconstruction_loss(
        "continuous-bernoulli", logits, x
    )
    difference.sum().backward()
    exact = logits.detach().double().requires_grad_()
    (exact / torch.tanh(exact / 2)).log().sum().backward()
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-3, atol=1e-6)
