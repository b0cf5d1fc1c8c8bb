"""Steps of SVI: they reach q* where it is known; a model is evaluated after them."""

from itertools import islice

import pytest
import torch

from comvae.engine.build import build
from comvae.evaluation.elbo import evaluate
from comvae.evaluation.encoders import with_evaluated_encoder
from comvae.evaluation.gap.oracles import linear_gaussian
from comvae.evaluation.gap.selftest import OFF, WIDER
from comvae.evaluation.svi import STEPS, climb, climbed, curve, points
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.options import SVI
from comvae.model.posterior import DiagonalGaussian
from comvae.model.svi import ascend
from comvae.results.formats import SVI as FORMAT
from comvae.study.settings import Evaluation, Gap
from tests.support import run_config

GAP = Gap(images=20, final_draws=100)


def off(target):
    """q* of each image, and an encoder that is as far from it as the self-test's."""
    mean, scale = (tensor.float() for tensor in target.optimum())
    best = DiagonalGaussian(mean, scale)
    return best, DiagonalGaussian(mean + OFF * scale, WIDER * scale)


@pytest.mark.parametrize("sigma,draws", [(3.0, 8), (1.0, 64)])
def test_a_hundred_steps_reach_the_optimum(sigma, draws):
    """Within 0.05 nats of L[q*], of 1.6 that the encoder is away."""
    target = linear_gaussian(sigma, 100)
    best, start = off(target)
    settings = SVI(steps=100, draws=draws)
    q = climbed(target, start, settings, Noise([0], "t"))
    optimal, first, last = (
        target.elbo(each.mean, each.scale).mean().item() for each in (best, start, q)
    )
    assert optimal - first > 1.5 and optimal - last < 0.05


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_ours_reaches_it_in_five(sigma):
    target = linear_gaussian(sigma, 100)
    _, start = off(target)
    settings = Gap(final_draws=200)
    found = list(points(target, start, SVI(steps=5), settings, Noise([0], "t")))
    [last] = [p for p in found if (p["optimiser"], p["steps"]) == ("quasi-newton", 5)]
    assert abs(last["gap"][0]) < 0.05 and last["evaluations"] <= 6 * 64
    assert [p["steps"] for p in found if p["optimiser"] == "momentum"] == [0, 1, 2, 5]


def test_a_step_is_the_slope_of_the_elbo():
    """Against autograd, on the images all at once: the sum over images as the source
    has it, with momentum, and clipped."""
    target = linear_gaussian(3.0, 7)
    _, start = off(target)
    settings, noise = SVI(draws=3, clip=1.0), Noise([0], "t")
    point = torch.cat([start.mean, 2 * start.scale.log()], 2)
    velocity = torch.zeros_like(point)
    same = Noise([0], "t")
    for q in islice(climb(target, start, settings, noise), 1, 4):
        point = point.detach().requires_grad_()
        eps = same.normal("svi", 7, 3, 5)
        mean, log_variance = point.chunk(2, 2)
        here = DiagonalGaussian(mean, (log_variance / 2).exp())
        z = here.rsample(eps)
        (target.log_likelihood(z).mean(2) - here.kl()).sum().backward()
        parts = point.grad.chunk(2, 2)
        clipped = [part / part.norm(dim=2, keepdim=True).clamp_min(1) for part in parts]
        velocity = 0.5 * velocity + torch.cat(clipped, 2)
        point = point.detach() + 0.02 * velocity
        torch.testing.assert_close(q.mean, point.chunk(2, 2)[0])
        torch.testing.assert_close(q.scale, (point.chunk(2, 2)[1] / 2).exp())


def test_steps_can_be_differentiated_through():
    """Their slope by start and decoder against finite differences, in float64."""
    generator = torch.Generator().manual_seed(0)
    mean, scale = torch.rand(2, 1, 2, 3, generator=generator, dtype=torch.float64) + 0.5
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    settings = SVI(steps=3, rate=0.1, draws=2)

    class Doubled(Noise):
        def normal(self, *of):
            return super().normal(*of).double()

    def last(mean, scale, weight):
        def log_likelihood(z):
            return -(z @ weight).cosh().sum(-1)

        start = DiagonalGaussian(mean, scale)
        noise = Doubled([0], "t")
        *_, q = ascend(start, log_likelihood, settings, noise, through=True)
        return q.mean, q.scale

    inputs = [tensor.requires_grad_() for tensor in (mean, scale, weight)]
    assert torch.autograd.gradcheck(last, inputs)


@pytest.fixture
def stepped(models):
    config = run_config(models["svi-10"], [0, 3], latent=2)
    return config, build(config, 12)


def test_a_model_is_evaluated_after_its_steps(stepped, blobs):
    config, vae = stepped
    before = evaluate(vae, config, blobs, Evaluation(batch_size=50))
    after = evaluate(with_evaluated_encoder(vae), config, blobs, Evaluation())
    assert (after["negative_elbo"] < before["negative_elbo"] - 0.01).all()
    assert (after["weight_kl"] == 0).all()


def test_the_curve_begins_at_the_encoder_and_gains(stepped, blobs):
    config, vae = stepped
    table = curve(vae, config, blobs, GAP)
    assert list(table.columns) == FORMAT.columns
    assert not table.duplicated(FORMAT.key).any()
    assert set(table["steps"]) == {k for k in STEPS if k <= 10}
    gaps = table.set_index(FORMAT.key)["amortization_gap"].unstack("steps")
    momentum = gaps.xs("momentum", level="optimiser")
    assert (momentum[10] < momentum[5]).all() and (momentum[5] < momentum[0]).all()
    ours = gaps.xs("quasi-newton", level="optimiser")
    assert (ours[10].abs() < 0.01).all() and (ours[10] < momentum[10]).all()
    spent = table.set_index(FORMAT.key)["evaluations"].unstack("steps")
    assert (spent.xs("momentum", level="optimiser")[10] == 80).all()


def test_a_seed_climbs_the_same_alone(stepped, models, blobs):
    config, vae = stepped
    alone = config.model_copy(update={"seeds": [3]})
    one = evaluate(with_evaluated_encoder(build(alone, 12)), alone, blobs, Evaluation())
    both = evaluate(with_evaluated_encoder(vae), config, blobs, Evaluation())
    expected = both[both["seed"] == 3]["negative_elbo"].to_numpy()
    assert one["negative_elbo"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_slopes_are_clipped_for_each_image(models, blobs):
    x = blobs.to_float(blobs.test)
    vae = build(run_config(models["svi-10"], [0], latent=2), 12)

    def log_likelihood(z):
        logits = vae.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
        return -reconstruction_loss("bernoulli", logits, x[:3].unsqueeze(1))

    start = DiagonalGaussian(torch.zeros(1, 3, 2), torch.ones(1, 3, 2))
    settings = SVI(steps=2, clip=1e-3)
    first, last = list(ascend(start, log_likelihood, settings, Noise([0], "t")))[1:]
    moved = (first.mean - start.mean).norm(dim=2)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.02e-3))
    assert (last.mean - first.mean).norm(dim=2).max() <= 1.5 * 0.02e-3 + 1e-7
