"""The flow against the change of variables, quadrature and the Gaussian below it."""

import pytest
import torch

from comvae.engine.training import train
from comvae.model.flow import Flow, FlowPosterior
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import Flow as FlowOptions
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian, Gaussian, log_prior
from tests.support import run_config

GENERATOR = torch.Generator().manual_seed(0)


def family(latent=5, seeds=(0, 4), spread=0.5, **changes):
    """One whose couplings are far from the identity."""
    options = ModelOptions(title="any", posterior="flow", flow=FlowOptions(**changes))
    flow = Flow(latent, options, Noise(list(seeds), "init")).double()
    for parameter in flow.parameters():
        noise = torch.randn(parameter.shape, generator=GENERATOR)
        parameter.data += spread * noise
    return flow


def posterior(flow, images=3):
    seeds = len(flow.couplings[0]["bias"])
    outputs = torch.randn(seeds, images, flow.outputs, generator=GENERATOR)
    return flow(0.5 * outputs.double())


@pytest.mark.parametrize("latent", [2, 3, 5])
def test_the_density_is_that_of_the_change_of_variables(latent):
    q = posterior(family(latent))
    eps = torch.randn(2, 3, latent, generator=GENERATOR).double()
    z = q.rsample(eps)
    own = torch.zeros(2, 3).double()
    for seed in range(2):
        for image in range(3):

            def moved(one, seed=seed, image=image):
                whole = eps.clone()
                whole[seed, image] = one
                return q.rsample(whole)[seed, image]

            jacobian = torch.autograd.functional.jacobian(moved, eps[seed, image])
            own[seed, image] = log_prior(eps[seed, image]) - jacobian.slogdet()[1]
    torch.testing.assert_close(q.log_prob(z), own, rtol=1e-6, atol=1e-6)


def test_the_density_integrates_to_one_and_has_the_kl_and_the_moments():
    """By quadrature on a grid of two latents."""
    q = posterior(family(2, spread=0.2, hidden=8))
    axis = torch.linspace(-12, 12, 401).double()
    points = torch.cartesian_prod(axis, axis)
    log_q = q.log_prob(points.expand(2, 3, -1, -1))
    mass = log_q.exp() * (axis[1] - axis[0]) ** 2
    one = torch.ones(2, 3).double()
    torch.testing.assert_close(mass.sum(2), one, rtol=0, atol=1e-3)
    kl = (mass * (log_q - log_prior(points))).sum(2)
    eps = torch.randn(2, 3, 20_000, 2, generator=GENERATOR).double()
    torch.testing.assert_close(q.kl(q.rsample(eps)), kl, rtol=0, atol=0.05)
    torch.testing.assert_close(q.kl(), kl, rtol=0.05, atol=0.05)
    mean = (mass.unsqueeze(3) * points).sum(2)
    torch.testing.assert_close(q.mean, mean, rtol=0, atol=0.1)
    square = (mass.unsqueeze(3) * points.square()).sum(2)
    scale = (square - mean.square()).sqrt()
    torch.testing.assert_close(q.scale, scale, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("draws", [(), (4,), (4, 2)])
def test_draws_may_have_axes_between_images_and_latents(draws):
    q = posterior(family())
    eps = torch.randn(2, 3, *draws, 5, generator=GENERATOR).double()
    z = q.rsample(eps)
    assert z.shape == eps.shape and q.log_prob(z).shape == eps.shape[:-1]
    first = (slice(None),) * 2 + (0,) * len(draws)
    torch.testing.assert_close(z[first], q.rsample(eps[first]))
    torch.testing.assert_close(q.log_prob(z)[first], q.log_prob(z[first]))
    nats = (q.log_prob(z) - log_prior(z)).view(2, 3, -1).mean(2)
    torch.testing.assert_close(q.kl(z), nats)


def test_an_image_and_a_seed_have_their_own():
    flow = family()
    q = posterior(flow)
    eps = torch.randn(2, 3, 5, generator=GENERATOR).double()
    parts = [q.images(slice(0, 1)), q.images(slice(1, 3))]
    whole = FlowPosterior.joined(parts)
    assert torch.equal(whole.rsample(eps), q.rsample(eps))
    torch.testing.assert_close(parts[1].rsample(eps[:, 1:]), q.rsample(eps)[:, 1:])
    assert not torch.allclose(q.rsample(eps.flip(0)).flip(0), q.rsample(eps))


def test_detached_has_a_gradient_to_the_latents_alone():
    q = posterior(family())
    z = torch.randn(2, 3, 5, generator=GENERATOR).double().requires_grad_()
    density = q.detached().log_prob(z)
    assert torch.equal(density, q.log_prob(z))
    (slope,) = torch.autograd.grad(density.sum(), z)
    assert (slope != 0).all()
    parameter = q.couplings[0].out
    assert torch.autograd.grad(q.log_prob(z).sum(), parameter)[0].any()
    assert not q.detached().couplings[0].out.requires_grad


def test_it_starts_as_its_gaussian():
    options = ModelOptions(title="any", posterior="flow")
    flow = Flow(5, options, Noise([0, 4], "init"))
    outputs = torch.randn(2, 3, flow.outputs, generator=GENERATOR)
    q = flow(outputs)
    eps = torch.randn(2, 3, 5, generator=GENERATOR)
    below = Gaussian(5, options, Noise([0, 4], "init"))(outputs[..., :10])
    assert torch.equal(q.rsample(eps), below.rsample(eps))
    torch.testing.assert_close(q.kl(), below.kl(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(q.mean, below.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(q.scale, below.scale, rtol=1e-3, atol=1e-4)


def test_without_layers_it_is_the_gaussian_to_the_last_bit(models, blobs):
    none = models["flow"].model_copy(update={"flow": FlowOptions(layers=0)})
    ours, theirs = (
        train(run_config(options, [0, 4], kernels="off"), blobs)
        for options in (none, models["vanilla"])
    )
    assert ours.history.equals(theirs.history)
    found, expected = ours.vae.state_dict(), theirs.vae.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)
    x = blobs.to_float(blobs.test).expand(2, -1, -1)
    q, _ = ours.vae.encoder(x, Mode(Noise([0, 4], "t")))
    assert type(q) is DiagonalGaussian


def test_one_latent_has_no_halves():
    with pytest.raises(ValueError, match=r"training.latent: found 1"):
        family(1)
