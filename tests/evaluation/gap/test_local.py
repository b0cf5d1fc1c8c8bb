"""q*: the minimiser, closed forms, long references, and what it costs."""

import pytest
import torch

from comvae.evaluation.gap import minimise as minimise_module
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.local import SCANNED, local_optimum, optimise, prior_start
from comvae.evaluation.gap.measure import encode
from comvae.evaluation.gap.minimise import minimise
from comvae.evaluation.gap.oracles import linear_gaussian, two_sided_decoder
from comvae.evaluation.gap.selftest import SEARCH, one_bound, reference
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian


def rosenbrock(point, index):
    """Each row has its own, between easy and hard; the minimum is 0 at (1, 1)."""
    hard = 10.0 ** (index % 3)
    a, b = point.unbind(2)
    value = (1 - a) ** 2 + hard * (b - a**2) ** 2
    by_a = -2 * (1 - a) - 4 * hard * a * (b - a**2)
    return value, torch.stack([by_a, 2 * hard * (b - a**2)], 2)


def inverse_curvature(point, gradient):
    return torch.full_like(point, 0.1)


def starts(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, 2, generator=generator, dtype=torch.float64)


def test_minimise_finds_the_minimum_of_every_row():
    start = starts(2, 30)
    found = minimise(rosenbrock, start, inverse_curvature, 1e-7, 500)
    assert found.converged.all()
    torch.testing.assert_close(found.point, torch.ones_like(start), rtol=0, atol=0.03)
    assert found.rounds.amin() < found.rounds.amax() / 2
    capped = minimise(rosenbrock, start, inverse_curvature, 1e-7, 9)
    assert capped.rounds.amax() == 9 and not capped.converged.all()


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_leaving_the_batch_changes_nothing(share, monkeypatch):
    """Never, after every round, and one row alone: the same to the last bit."""
    start = starts(2, 30)
    expected = minimise(rosenbrock, start, inverse_curvature, 1e-6, 60)
    monkeypatch.setattr(minimise_module, "COMPACT", share)
    for name, tensor in vars(
        minimise(rosenbrock, start, inverse_curvature, 1e-6, 60)
    ).items():
        assert torch.equal(tensor, getattr(expected, name))
    alone = minimise(rosenbrock, start[1:, 3:4], inverse_curvature, 1e-6, 60)
    assert alone.rounds.item() == expected.rounds[1, 3].item()
    assert torch.equal(alone.point[0, 0], expected.point[1, 3])


def test_a_row_that_is_not_finite_leaves_the_others_alone():
    start = starts(1, 5)
    broken = start.clone()
    broken[0, 2] = torch.nan
    expected = minimise(rosenbrock, start, inverse_curvature, 1e-6, 60)
    found = minimise(rosenbrock, broken, inverse_curvature, 1e-6, 60)
    others = torch.tensor([0, 1, 3, 4])
    torch.testing.assert_close(found.point[:, others], expected.point[:, others])
    assert found.value[0, 2].isnan() and not found.converged[0, 2]
    none = minimise(rosenbrock, broken * torch.nan, inverse_curvature, 1e-6, 60)
    assert not none.converged.any() and (none.rounds == 1).all()


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_optimum_of_a_linear_decoder_is_the_closed_form(sigma):
    target = linear_gaussian(sigma, 30)
    mean, scale = (tensor.float() for tensor in target.optimum())
    optimum = local_optimum(target, DiagonalGaussian(mean + 2.0, scale * 3), **SEARCH)
    assert optimum.converged.all()
    best = target.elbo(*target.optimum())
    for start in range(2):
        found = target.elbo(optimum.mean[start], optimum.scale[start])
        assert (best - found).max() < 2e-3 and (best - found).min() > -1e-5
        torch.testing.assert_close(
            -optimum.objective[start].double(), found, rtol=1e-4, atol=1e-3
        )


def test_objective_is_the_negative_elbo(trained):
    """Not of the draws that were optimised alone: a sign or a KL would show."""
    target, q, noise = trained
    q = q.images(slice(50))
    target = target.select(torch.arange(50).unsqueeze(0))
    optimum = optimise(target, [q], 256, 1, 1e-3)  # no step at all
    assert (optimum.iterations == 1).all() and not optimum.converged.any()
    z = q.rsample(noise.normal("z", 50, 4000, 5))
    loss = q.kl() - target.log_likelihood(z).mean(2)
    torch.testing.assert_close(optimum.objective[0], loss, rtol=0, atol=0.15)
    assert (optimum.objective[0] - loss).mean().abs() < 0.02


def test_optimum_is_as_good_as_a_long_search_from_random_starts(trained):
    target, q, noise = trained
    q = q.images(slice(50))
    target = target.select(torch.arange(50).unsqueeze(0))
    optimum = local_optimum(target, q, **SEARCH)
    found, best = (
        one_bound(target, each, Noise([0], "a"), "elbo")
        for each in (
            optimum.of_start(optimum.best()),
            reference(target, q.mean, noise),
        )
    )
    assert (best - found).mean() < 0.02
    assert optimum.converged.float().mean() > 0.98
    assert (found - one_bound(target, q, noise, "elbo")).mean() > 0.02


def test_second_start_finds_the_other_mode():
    """Also for an encoder that returns the prior, between the two modes."""
    decoder = two_sided_decoder(2.0)
    z = torch.tensor([[1.2, 0.5], [-0.9, -1.0], [0.8, 1.5]])
    with torch.no_grad():
        first, last = decoder.layers
        hidden = torch.relu(z @ first.weight[0] + first.bias[0])
        x = (hidden @ last.weight[0] + last.bias[0]).sigmoid().round()
    target = DecoderTarget(decoder, "bernoulli", x)
    like = torch.zeros(1, 3, 2)
    encoded = DiagonalGaussian(like, torch.ones_like(like))
    optimum = local_optimum(target, encoded, **SEARCH)
    signs = optimum.mean[..., 0].sign()
    apart = (optimum.mean[0] - optimum.mean[1])[0, :, 0].abs()
    assert (signs[0] != signs[1]).any() and apart.max() > 1.0
    best = prior_start(target, like * torch.nan).mean  # nothing to keep away from
    away = prior_start(target, best).mean
    assert ((away - best).norm(dim=2) >= 0.7 - 1e-6).all()
    assert (away[..., 0].sign() != best[..., 0].sign()).any()


def test_every_start_is_searched_from_as_if_alone(trained):
    target, q, _ = trained
    starts = [
        q,
        DiagonalGaussian(q.mean + 1, q.scale * 2),
        DiagonalGaussian(-q.mean, torch.ones_like(q.scale)),
    ]
    together = optimise(target, starts)
    for number, start in enumerate(starts):
        alone = optimise(target, [start])
        torch.testing.assert_close(
            together.objective[number], alone.objective[0], rtol=0, atol=2e-3
        )
    best = together.best()
    torch.testing.assert_close(
        together.objective.gather(0, best[None])[0], together.objective.amin(0)
    )
    chosen = together.of_start(best)
    assert torch.equal(chosen.mean[0, 3], together.mean[best[0, 3], 0, 3])


def test_costs_at_most_a_fiftieth_of_the_cremer_protocol(trained):
    """Both counted where the decoder is evaluated, on the same images."""
    target, q, noise = trained
    images = torch.arange(4).unsqueeze(0)
    counted = Counted(target.select(images))
    q = q.images(slice(4))
    optimum = local_optimum(counted, q, **SEARCH)
    cost = counted.evaluations / 4
    each = optimum.iterations.sum(0).float().mean().item() * optimum.draws
    assert counted.evaluations == pytest.approx(4 * each + SCANNED, rel=0.5)

    protocol = Counted(target.select(images))
    found = cremer(protocol, torch.zeros_like(q.mean), noise)
    assert protocol.evaluations / 4 >= 50 * cost
    few = target.select(images)
    theirs, _ = bounds(few, [found], 4000, Noise([0], "a"), "q")
    best = optimum.of_start(optimum.best())
    ours = one_bound(few, best, Noise([0], "b"), "q")
    assert (ours - theirs).mean() > -0.05


class Counted:
    """A target that counts the latents it is evaluated at."""

    def __init__(self, target, count=None):
        self.target, self.count = target, [0] if count is None else count

    @property
    def evaluations(self):
        return self.count[0]

    def gradient(self, z):
        self.count[0] += z.shape[:-1].numel()
        return self.target.gradient(z)

    def at_points(self, z):
        self.count[0] += len(z)
        return self.target.at_points(z)

    def select(self, index):
        return Counted(self.target.select(index), self.count)


def cremer(target, mean, noise):
    """q* as in the authors' code: Adam with rate 1e-3 and 50 draws per step, from mean
    0 and scale 1; a check every 100 steps, the end after more than 10 without a new
    best."""
    mean = mean.clone().requires_grad_()
    log_scale = torch.zeros_like(mean, requires_grad=True)
    adam = torch.optim.Adam([mean, log_scale], lr=1e-3, eps=1e-4)
    best, since, losses = float("inf"), 0, []
    while since <= 10:
        scale = log_scale.detach().exp()
        eps = noise.normal("cremer", mean.shape[1], 50, mean.shape[2])
        z = mean.detach().unsqueeze(2) + scale.unsqueeze(2) * eps
        value, gradient = target.gradient(z)
        kl = DiagonalGaussian(mean.detach(), scale).kl()
        losses.append((kl - value.mean(2)).mean().item())
        mean.grad = mean.detach() - gradient.mean(2)
        log_scale.grad = scale**2 - 1 - scale * (gradient * eps).mean(2)
        adam.step()
        if len(losses) == 100:
            average, losses = sum(losses) / 100, []
            best, since = (average, 0) if average < best else (best, since + 1)
    return DiagonalGaussian(mean.detach(), log_scale.detach().exp())


@pytest.fixture(scope="module")
def trained(digits_model):
    """A trained digits model's target, and the encoder's q of its images."""
    vae, _, dataset = digits_model
    x, noise = dataset.to_float(dataset.test[:150]), Noise([0], "t")
    with torch.no_grad():
        (q,) = encode(vae, x, noise, 1, sample_weights=False)
    return DecoderTarget(vae.decoder, "bernoulli", x), q, noise


@pytest.fixture(scope="module")
def digits_model():
    from comvae.evaluation.gap.selftest import trained_on_digits

    return trained_on_digits()
