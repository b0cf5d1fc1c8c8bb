"""The bounds and both estimates of log p(x), against models with known answers."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from comvae.evaluation.gap import annealing, chunks, selftest
from comvae.evaluation.gap.annealing import SCHEDULES, Schedule, anneal, anneal_back
from comvae.evaluation.gap.annealing import _density_and_gradient as of_mixture
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.estimate import estimate, reconsider
from comvae.evaluation.gap.fit import Normals, fit
from comvae.evaluation.gap.importance import DEFENSIVE, log_evidence, split_draws
from comvae.evaluation.gap.oracles import (
    HeavyTails,
    Quadrature,
    TwoModes,
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
    normals = Normals.diagonal(modes, widths)
    sampled = log_evidence(target, normals, draws, Noise([0], "t"))
    found, effective = sampled.log_px, sampled.effective
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
    normals = Normals.diagonal(wrong, scale.unsqueeze(0))
    sampled = log_evidence(target, normals, 20_000, Noise([0], "t"))
    found, effective = sampled.log_px, sampled.effective
    assert (found - target.log_evidence()).abs().mean() < 0.1
    assert effective.amax() < 0.5 * DEFENSIVE * 20_000


def test_effective_draws_of_a_known_proposal():
    """For an x that says nothing the posterior is the prior: from the moments of its
    ratio to the mixture of a Student t and the prior."""
    target = linear_gaussian(1e4, 20)
    wide = Normals.diagonal(torch.zeros(1, 1, 20, 5), torch.full((1, 1, 20, 5), 2.0))
    sampled = log_evidence(target, wide, 50_000, Noise([0], "t"))
    random = np.random.default_rng(0)
    scale = 2 * 1.2  # what `widening` says at 5 latents
    t = stats.multivariate_t(np.zeros(5), scale**2 * np.eye(5), df=5)
    prior = stats.multivariate_normal(np.zeros(5))
    z = np.concatenate([t.rvs(360_000, random), prior.rvs(40_000, random)])
    weights = prior.pdf(z) / (0.9 * t.pdf(z) + 0.1 * prior.pdf(z))
    expected = 50_000 * weights.mean() ** 2 / np.mean(weights**2)
    assert sampled.effective.mean().item() == pytest.approx(expected, rel=0.02)
    assert (sampled.draws == 50_000).all()


@pytest.mark.parametrize(
    "draws,components,split",
    [(5000, 2, [2250, 2250, 500]), (10, 2, [5, 4, 1]), (3, 2, [1, 1, 1])],
)
def test_draws_are_split_between_optima_and_prior(draws, components, split):
    assert split_draws(draws, components) == split


def test_small_chunks_give_the_same_error(monkeypatch):
    target, _ = one_image(30)
    monkeypatch.setitem(chunks.LATENTS, "cpu", 1)  # one image at a time
    found = log_evidence(target, optima(target), 4000, Noise([0], "t")).log_px
    torch.testing.assert_close(found, target.log_evidence(), rtol=0, atol=0.1)
    assert found.std() > 1e-4  # each image has draws of its own


@pytest.mark.parametrize("start,sigma", [("optimum", 1.5), ("prior", 5.0)])
def test_annealed_weights_are_unbiased_in_both_directions(start, sigma, monkeypatch):
    """So short a schedule that forwards and backwards are far apart."""
    target, repeats = one_image(2000, sigma)
    mean, scale = (tensor.float() for tensor in target.optimum())
    modes = torch.stack([mean + 0.5 * scale, mean - scale])
    widths = torch.stack([scale, 0.7 * scale])
    monkeypatch.setattr(annealing, "PER_LATENT", 1)
    schedule, normals = Schedule(5, 4, 3, 0.3, start), Normals.diagonal(modes, widths)
    log_px = target.log_evidence()
    found = anneal(target, normals, schedule, Noise([0], "t")).log_px
    ratio = (found - log_px).exp()
    error = (ratio.std() / repeats**0.5).item()
    assert error < 0.05 and ratio.mean().item() == pytest.approx(1, abs=4 * error)

    exact = posterior_draws(target, Noise([0], "u"))
    upper = anneal_back(target, normals, exact, schedule, Noise([0], "t"))
    ratio = (log_px - upper).exp()
    error = (ratio.std() / repeats**0.5).item()
    assert error < 0.1 and ratio.mean().item() == pytest.approx(1, abs=4 * error)
    assert found.mean() + 0.01 < log_px.mean() < upper.mean() - 0.01


def test_transitions_leave_the_posterior_as_it_is():
    """Exact draws, backwards at a start that is the posterior: weights without spread,
    and many trajectories later still draws of the posterior."""
    target = linear_gaussian(1.0, 300)
    q, bound = optima(target), []
    for distributions in (2, 20, 200):
        schedule = Schedule(distributions, 4, 5, 0.4, "optimum")
        exact = posterior_draws(target, Noise([0], "u"))
        upper = anneal_back(target, q, exact, schedule, Noise([0], "t"))
        lower = anneal(target, q, schedule, Noise([0], "t")).log_px
        assert (lower - target.log_evidence()).mean() < 0.005
        bound.append((upper - lower).mean().item())
    assert bound[0] > bound[1] > bound[2] and bound[2] < 0.005


def test_annealing_starts_from_the_mixture_of_the_optima():
    """Its density and gradient; a wrong gradient would only cost acceptance."""
    mean, scale = torch.randn(2, 1, 3, 5), torch.rand(2, 1, 3, 5) + 0.5
    start = Normals.diagonal(mean, scale)
    z = torch.randn(1, 3, 7, 5, requires_grad=True)
    each = torch.distributions.Normal(mean.unsqueeze(3), scale.unsqueeze(3))
    expected = each.log_prob(z).sum(4).logsumexp(0) - math.log(2)
    density, gradient = of_mixture(start, z)
    torch.testing.assert_close(density, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])


def test_paper_schedule_adapts_its_step_and_starts_from_the_prior():
    """Fewer chains and distributions, on a decoder that is easy."""
    paper = SCHEDULES["cremer"]
    assert (paper.distributions, paper.chains, paper.leapfrog) == (10_000, 100, 10)
    target = linear_gaussian(3.0, 300)
    centre = torch.full((1, 1, 300, 5), 50.0)
    nowhere = Normals.diagonal(centre, torch.ones_like(centre))
    schedule = Schedule(200, 10, 10, 0.01, "prior", adapted=True)
    found = anneal(target, nowhere, schedule, Noise([0], "t")).log_px
    log_px = target.log_evidence()
    assert -0.2 < (found - log_px).mean() < 0.1
    fixed = Schedule(200, 10, 10, 0.01, "prior")
    slow = anneal(target, nowhere, fixed, Noise([0], "t")).log_px
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


@pytest.mark.parametrize("latent", [5, 30])
def test_a_fit_is_the_posterior_where_that_is_normal(latent):
    target = linear_gaussian(1.0, 3, latent, 2 * latent)
    found = fit(target, *diagonal_optima(target))
    mean, precision = target.posterior()
    torch.testing.assert_close(found.mean[0].double(), mean, rtol=0, atol=1e-3)
    inverse = found.inverse[0].double()
    torch.testing.assert_close(
        inverse.mT @ inverse,
        precision.unsqueeze(1).expand(-1, 3, -1, -1),
        rtol=1e-2,
        atol=1e-2,
    )
    torch.testing.assert_close(found.log_det, torch.linalg.slogdet(found.factor)[1])
    sampled = log_evidence(target, found, 1000, Noise([0], "t"))
    assert (sampled.effective > 500).all()
    diagonal = log_evidence(target, optima(target), 1000, Noise([0], "t"))
    assert latent == 5 or (diagonal.effective < 100).all()


def test_heavy_tails_are_annealed_where_draws_do_not_do():
    target = HeavyTails(50, 4, "test")
    _, modes = selftest.searched(target)
    estimated, truth = (
        estimate(target, modes, 1000, Noise([0], "t")),
        target.log_evidence(),
    )
    assert (estimated.sampled.effective < 100).all()
    assert (estimated.found.draws < 1000).all() and estimated.trusted().any()
    torch.testing.assert_close(estimated.found.log_px, truth, rtol=0, atol=0.4)
    off = (estimated.sampled.log_px - truth).abs().mean()
    assert (estimated.found.log_px - truth).abs().mean() < off


def test_a_mode_that_no_search_found_is_told_by_annealing_and_then_sought():
    target = TwoModes(20, 6, "test")
    sides = target.x.clone()
    sides[..., 0] = target.SIDE
    mean = (sides @ target.turn.T).unsqueeze(0)
    one = fit(target, mean, torch.full_like(mean, 0.3))
    estimated = estimate(target, one, 1000, Noise([0], "t"))
    off = (estimated.found.log_px - target.log_evidence()).mean().item()
    assert off == pytest.approx(math.log(target.SHARES[0]), abs=0.05)
    assert estimated.trusted().all()  # the draws know nothing of it
    short = Schedule(60, 32, 4, 0.4, "prior", power=3)
    annealed = anneal(target, one, short, Noise([0], "t"))
    assert not estimated.agrees(annealed).any()
    again = reconsider(target, estimated, annealed, 1000, Noise([0], "t"))
    assert (again.agrees(annealed) & again.trusted()).all()
    off = again.found.log_px - target.log_evidence()
    torch.testing.assert_close(off, torch.zeros_like(off), rtol=0, atol=0.1)


def diagonal_optima(target):
    """Mean and scale of q*, as the one start of each image."""
    return tuple(tensor.float().unsqueeze(0) for tensor in target.optimum())


def optima(target):
    """q* of each image."""
    return Normals.diagonal(*diagonal_optima(target))


def one_image(repeats, sigma=0.5):
    """A linear decoder and the same image many times: repeats of one estimate."""
    target = linear_gaussian(sigma, 1)
    return target.select(torch.zeros(1, repeats, dtype=torch.long)), repeats


def posterior_draws(target, noise):
    mean, precision = target.posterior()
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    eps = noise.normal("exact", *mean.shape[1:]).double()
    return (mean + eps @ factor.transpose(1, 2)).float()
