"""The bounds and both estimates of log p(x), against models with known answers."""

import math

import pytest
import torch

from comvae.evaluation.gap import chunks, selftest
from comvae.evaluation.gap.annealing import SCHEDULES, Schedule, anneal, anneal_back
from comvae.evaluation.gap.annealing import _start as starting
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.importance import (
    DEFENSIVE,
    WIDENED,
    log_evidence,
    split_draws,
)
from comvae.evaluation.gap.oracles import (
    Quadrature,
    linear_gaussian,
    simulate,
    two_sided_decoder,
)
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.posterior import DiagonalGaussian

IMAGES = 100


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_everything_is_the_closed_form_of_a_linear_decoder(sigma):
    checks = list(selftest.linear_gaussian_checks(sigma))
    assert len(checks) == 9
    for check in checks:
        assert check.passed, check


@pytest.mark.parametrize("slope", [1.0, 2.0, 4.0])
def test_log_px_is_that_of_quadrature_with_two_modes(slope):
    checks = list(selftest.two_sided_checks(slope))
    for check in checks:
        assert check.passed, check
    # the posteriors do have two modes: one normal misses most of log 2
    assert slope < 2 or checks[2].truth - checks[2].estimate > 0.4


def test_trained_model_has_bounds_from_both_sides_in_the_right_order():
    checks = list(selftest.trained_checks(40))
    assert len(checks) == 5
    for check in checks:
        assert check.passed, check


def test_selftest_tells_of_a_failure(monkeypatch, capsys):
    right = selftest.Check("model", "log p(x)", -10.0, -10.01)
    wrong = selftest.Check("model", "L[q]", -10.0, -10.03)
    for checks, passed in (([right], True), ([right, wrong, right], False)):
        monkeypatch.setattr(selftest, "checks", lambda checks=checks: iter(checks))
        assert selftest.run() is passed
        assert ("FAILED" in capsys.readouterr().out) is not passed
    assert selftest.Check("m", "q", -12.0, -10.0, at_most=True).passed
    assert not selftest.Check("m", "q", -9.9, -10.0, at_most=True).passed


def test_closed_forms_are_those_of_a_grid():
    """One latent, by the midpoint rule; and q* is the best normal."""
    target = linear_gaussian(0.7, 4, latent=1, pixels=3)
    z = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    step = (z[1] - z[0]).item()
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    decoded = z.view(-1, 1) @ target.weight[0].double() + target.bias[0].double()
    pixels = torch.distributions.Normal(decoded.unsqueeze(1), 0.7)
    joint = prior + pixels.log_prob(target.x[0].double()).sum(2).T
    log_px = joint.logsumexp(1) + math.log(step)
    torch.testing.assert_close(target.log_evidence()[0], log_px)
    mean, scale = target.optimum()
    for m, s in ((mean, scale), (mean + 0.3, scale * 1.4)):
        q = torch.distributions.Normal(m[0], s[0]).log_prob(z)
        elbo = (q.exp() * (joint - q)).sum(1) * step
        torch.testing.assert_close(target.elbo(m, s)[0], elbo, rtol=1e-5, atol=1e-5)
        assert (target.elbo(m, s) <= target.elbo(mean, scale) + 1e-9).all()
    some = z[::2000].float().expand(1, 4, -1).unsqueeze(3)
    value, gradient = target.gradient(some)
    likelihood = (joint - prior)[None, :, ::2000].float()
    torch.testing.assert_close(value, likelihood, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(target.at_points(some[0, 0]), value)
    slopes = torch.autograd.functional.jacobian(
        lambda z: target.log_likelihood(z).sum(), some
    )
    torch.testing.assert_close(gradient, slopes, rtol=1e-3, atol=1e-3)


def test_quadrature_is_the_sum_over_the_prior():
    """A decoder that ignores its latents: p(x) is the product over the pixels."""
    decoder = two_sided_decoder(1.0)
    with torch.no_grad():
        decoder.layers[-1].weight.zero_()
    x = simulate(decoder, Noise([0], "t"), 2)[1][0]
    logits = decoder(torch.zeros(1, 1, 2)).detach()[0]
    found = Quadrature().log_evidence(decoder, "bernoulli", x)
    expected = -reconstruction_loss("bernoulli", logits, x).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("draws", [4, 30])
def test_importance_weights_are_unbiased(draws):
    """The mean of the estimates of p(x) itself, for so few draws that each is poor: a
    proposal that is not the density drawn from would show."""
    target, repeats = one_image(2000)
    mean, scale = (tensor.float() for tensor in target.optimum())
    modes = torch.stack([mean + 0.3 * scale, mean - 2.0 * scale])
    widths = torch.stack([0.8 * scale, 0.5 * scale])
    found, effective = log_evidence(target, modes, widths, draws, Noise([0], "t"))
    ratio = (found - target.log_evidence()).exp()
    error = (ratio.std() / repeats**0.5).item()
    assert error < 0.03 and ratio.mean().item() == pytest.approx(1, abs=4 * error)
    assert found.mean() < target.log_evidence().mean()  # and its log is a lower bound
    assert (effective >= 1 - 1e-9).all() and (effective <= draws + 1e-9).all()


def test_importance_weights_are_bounded_by_the_prior_share():
    """A proposal in the wrong place altogether: the prior's draws still find p(x)."""
    target, _ = one_image(50, sigma=3.0)
    mean, scale = (tensor.float() for tensor in target.optimum())
    wrong = (mean + 30 * scale).unsqueeze(0)
    found, effective = log_evidence(
        target, wrong, scale.unsqueeze(0), 20_000, Noise([0], "t")
    )
    assert (found - target.log_evidence()).abs().mean() < 0.1
    assert effective.amax() < 0.5 * DEFENSIVE * 20_000


def test_effective_draws_of_a_known_proposal():
    """The prior alone for an x that says nothing: all draws count. And with normals as
    proposal and posterior, from the moments of their ratio."""
    target = linear_gaussian(1e4, 20)
    nothing = torch.zeros(1, 1, 20, 5), torch.full((1, 1, 20, 5), 1 / WIDENED)
    _, effective = log_evidence(target, *nothing, 1000, Noise([0], "t"))
    everything = torch.full_like(effective, 1000.0)
    torch.testing.assert_close(effective, everything, rtol=1e-4, atol=0)
    wide = torch.zeros(1, 1, 20, 5), torch.full((1, 1, 20, 5), 2 / WIDENED)
    _, effective = log_evidence(target, *wide, 50_000, Noise([0], "t"))
    z = 2 * torch.randn(400_000, 5, generator=torch.Generator().manual_seed(0))
    z[:40_000] /= 2
    normal = torch.distributions.Normal
    prior = normal(0.0, 1.0).log_prob(z).sum(1).exp()
    mixture = 0.9 * normal(0.0, 2.0).log_prob(z).sum(1).exp() + 0.1 * prior
    weights = prior / mixture
    expected = 50_000 * weights.mean() ** 2 / weights.square().mean()
    assert effective.mean().item() == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize(
    "draws,components,split",
    [(5000, 2, [2250, 2250, 500]), (10, 2, [5, 4, 1]), (3, 2, [1, 1, 1])],
)
def test_draws_are_split_between_optima_and_prior(draws, components, split):
    assert split_draws(draws, components) == split


def test_small_chunks_give_the_same_error(monkeypatch):
    target, _ = one_image(30)
    q = tuple(tensor.float().unsqueeze(0) for tensor in target.optimum())
    monkeypatch.setitem(chunks.LATENTS, "cpu", 1)  # one image at a time
    found, _ = log_evidence(target, *q, 4000, Noise([0], "t"))
    torch.testing.assert_close(found, target.log_evidence(), rtol=0, atol=0.1)
    assert found.std() > 1e-4  # each image has draws of its own


@pytest.mark.parametrize("start,sigma", [("optimum", 1.5), ("prior", 4.0)])
def test_annealed_weights_are_unbiased_in_both_directions(start, sigma):
    """So short a schedule that forwards and backwards are far apart."""
    target, repeats = one_image(2000, sigma)
    mean, scale = (tensor.float() for tensor in target.optimum())
    modes = torch.stack([mean + 0.5 * scale, mean - scale])
    widths = torch.stack([scale, 0.7 * scale])
    schedule = Schedule(5, 4, 3, 0.3, adapted=False, start=start)
    log_px = target.log_evidence()
    found = anneal(target, modes, widths, schedule, Noise([0], "t"))
    ratio = (found - log_px).exp()
    error = (ratio.std() / repeats**0.5).item()
    assert error < 0.05 and ratio.mean().item() == pytest.approx(1, abs=4 * error)

    exact = posterior_draws(target, Noise([0], "u"))
    upper = anneal_back(target, modes, widths, exact, schedule, Noise([0], "t"))
    ratio = (log_px - upper).exp()
    error = (ratio.std() / repeats**0.5).item()
    assert error < 0.1 and ratio.mean().item() == pytest.approx(1, abs=4 * error)
    assert found.mean() + 0.01 < log_px.mean() < upper.mean() - 0.01


def test_transitions_leave_the_posterior_as_it_is():
    """Exact draws, backwards at a start that is the posterior: weights without spread,
    and many trajectories later still draws of the posterior."""
    target = linear_gaussian(1.0, 300)
    q = tuple(tensor.float().unsqueeze(0) for tensor in target.optimum())
    bound = []
    for distributions in (2, 20, 200):
        schedule = Schedule(distributions, 4, 5, 0.4, adapted=False, start="optimum")
        exact = posterior_draws(target, Noise([0], "u"))
        upper = anneal_back(target, *q, exact, schedule, Noise([0], "t"))
        lower = anneal(target, *q, schedule, Noise([0], "t"))
        assert (lower - target.log_evidence()).mean() < 0.005
        bound.append((upper - lower).mean().item())
    assert bound[0] > bound[1] > bound[2] and bound[2] < 0.005


def test_annealing_starts_from_the_mixture_of_the_optima():
    """Its density and gradient; a wrong gradient would only cost acceptance."""
    mean, scale = torch.randn(2, 1, 3, 5), torch.rand(2, 1, 3, 5) + 0.5
    start = starting(mean, scale, SCHEDULES["fast"])
    z = torch.randn(1, 3, 7, 5, requires_grad=True)
    wider = torch.distributions.Normal(mean.unsqueeze(3), 1.2 * scale.unsqueeze(3))
    expected = wider.log_prob(z).sum(4).logsumexp(0) - math.log(2)
    density, gradient = start.density_and_gradient(z)
    torch.testing.assert_close(density, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])


def test_paper_schedule_adapts_its_step_and_starts_from_the_prior():
    """Fewer chains and distributions, on a decoder that is easy."""
    paper = SCHEDULES["cremer"]
    assert (paper.distributions, paper.chains, paper.leapfrog) == (10_000, 100, 10)
    target = linear_gaussian(3.0, 300)
    nowhere = torch.full((1, 1, 300, 5), 50.0), torch.ones(1, 1, 300, 5)
    schedule = Schedule(200, 10, 10, 0.01, adapted=True, start="prior")
    found = anneal(target, *nowhere, schedule, Noise([0], "t"))
    log_px = target.log_evidence()
    assert -0.2 < (found - log_px).mean() < 0.1
    fixed = Schedule(200, 10, 10, 0.01, adapted=False, start="prior")
    slow = anneal(target, *nowhere, fixed, Noise([0], "t"))
    assert (found - log_px).std() < 0.6 * (slow - log_px).std()


def test_marginal_bound_grows_with_the_weight_draws_and_has_the_generating_one():
    target, images = linear_gaussian(1.0, IMAGES), IMAGES
    mean, scale = (tensor.float() for tensor in target.optimum())
    found = []
    for weights in (1, 2, 10, 100):
        eps = Noise([0], "w").normal("w", images, weights, 5)
        moved = DiagonalGaussian(mean, 2 * scale).rsample(eps).unbind(2)
        qs = [DiagonalGaussian(one, scale) for one in moved]
        elbo, marginal = bounds(target, qs, 1000, Noise([0], "t"), "z")
        if weights == 1:
            torch.testing.assert_close(elbo, marginal)
        each = [target.elbo(one, scale) for one in moved]
        assert (elbo - sum(each) / weights).mean().abs() < 0.05
        found.append(marginal.mean().item())
    limit = target.elbo(mean, scale * 5**0.5).mean().item()
    assert found[0] < found[1] < found[2] < found[3] < limit
    # without the generating draw it would be an estimate from above or worse: two equal
    # weight draws must give exactly the bound of one
    twice = [DiagonalGaussian(mean, scale)] * 2
    elbo, marginal = bounds(target, twice, 1000, Noise([0], "t"), "z")
    torch.testing.assert_close(elbo, marginal)


def test_marginal_can_be_better_than_the_best_single_normal():
    """Two modes, a weight draw at each: a negative amortization gap is legal."""
    decoder = two_sided_decoder(4.0)
    x = simulate(decoder, Noise([0], "t"), 60)[1]
    target = DecoderTarget(decoder, "bernoulli", x)
    like = torch.zeros(1, 60, 2)
    encoded = DiagonalGaussian(like, torch.ones_like(like))
    optimum = selftest.local_optimum(target, encoded, **selftest.SEARCH)
    q = optimum.of_start(optimum.best())
    mirrored = DiagonalGaussian(q.mean * torch.tensor([-1.0, 1.0]), q.scale)
    _, marginal = bounds(target, [q, mirrored], 1000, Noise([0], "t"), "z")
    optimal = selftest.one_bound(target, q, Noise([0], "t"), "z")
    log_px = Quadrature().log_evidence(decoder, "bernoulli", x[0])
    assert marginal.mean() > optimal.mean() + 0.1
    assert marginal.mean() < log_px.mean() + 0.02


def one_image(repeats, sigma=0.5):
    """A linear decoder and the same image many times: repeats of one estimate."""
    target = linear_gaussian(sigma, 1)
    return target.select(torch.zeros(1, repeats, dtype=torch.long)), repeats


def posterior_draws(target, noise):
    mean, precision = target.posterior()
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    eps = noise.normal("exact", *mean.shape[1:]).double()
    return (mean + eps @ factor.transpose(1, 2)).float()
