"""The layer as a plain module: the study's arithmetic, and what PyTorch expects."""

import copy

import pytest
import torch
from torch import nn

from comvae.model import layers
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import DynamicBayesian, ModelOptions
from comvae.nn import DynamicBayesianLinear, Prior

VARIANTS = [(True, None), (False, None), (True, 3)]


def study_layer(batch_norm: bool, rank: int | None) -> layers.DynamicBayesianLinear:
    options = ModelOptions(
        title="any",
        hidden_layer="dynamic",
        weight_prior="gaussian",
        batch_norm_maps=batch_norm,
        dynamic=DynamicBayesian(rank=rank),
    )
    return layers.DynamicBayesianLinear(7, 4, options, Noise([3], "initialisation"))


def same(batch_norm: bool, rank: int | None):
    """A layer of the study, the plain module with its weights, and inputs."""
    study = study_layer(batch_norm, rank)
    layer = DynamicBayesianLinear(7, 4, "gaussian", batch_norm=batch_norm, rank=rank)
    layer.layer.load_state_dict(study.state_dict())
    return study, layer, torch.rand(16, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch_norm,rank", VARIANTS)
@pytest.mark.parametrize("training", [True, False])
def test_it_computes_what_the_study_computes(batch_norm, rank, training):
    study, layer, x = same(batch_norm, rank)
    layer.train(training)
    noise = Noise([3], "training")
    mode = Mode(noise, batch_statistics=training, update_statistics=training)
    _, kl = study(x[None], mode)
    layer(x)
    assert layer.kl() == kl[0] > 0
    for name, tensor in study.state_dict().items():  # running statistics too
        assert torch.equal(tensor, layer.layer.state_dict()[name])
    study, layer, x = same(batch_norm, rank)
    layer.train(training).draw_weights = False
    at_mean = Mode(noise, sample_weights=False, batch_statistics=training)
    assert torch.equal(layer(x), study(x[None], at_mean)[0][0])
    assert layer.kl() == 0


@pytest.mark.parametrize("batch_norm,rank", VARIANTS)
def test_its_draws_have_the_studys_distribution(batch_norm, rank):
    study, layer, x = same(batch_norm, rank)
    mean, deviation = study.moments(x[None], Mode(Noise([3], "moments")))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([layer.eval()(x) for _ in range(600)])
    assert ((drawn.mean(0) - mean[0]).abs() < 5 * deviation[0] / 600**0.5).all()
    torch.testing.assert_close(drawn.std(0), deviation[0], rtol=0.1, atol=1e-6)


def test_the_mixture_prior_is_the_studys():
    torch.manual_seed(0)
    layer = DynamicBayesianLinear(7, 4)
    x = torch.rand(16, 7)
    torch.manual_seed(9)
    layer(x)
    torch.manual_seed(9)
    eps = torch.randn(1, 4, 8, 16)
    mode = Mode(Noise([0], "maps"), batch_statistics=True)
    mu, rho = layer.layer.mu_and_rho(x.T[None], mode)
    sigma = nn.functional.softplus(rho)
    log_q = torch.distributions.Normal(mu, sigma).log_prob(mu + sigma * eps)
    nats = log_q - layer.prior.log_prob(mu + sigma * eps)
    torch.testing.assert_close(layer.kl(), nats.sum() / 16)


class Laplace(Prior):
    """Laplace(0, 1), which has no entry among the study's priors."""

    def log_prob(self, w):
        return -w.abs() - torch.log(torch.tensor(2.0))


@pytest.mark.parametrize("prior", ["gaussian", "mixture", Laplace()])
def test_it_is_an_ordinary_module(prior):
    torch.manual_seed(0)
    net = nn.Sequential(DynamicBayesianLinear(6, 3, prior), nn.ReLU(), nn.Linear(3, 2))
    x = torch.rand(5, 2, 6)
    out = net(x)
    assert out.shape == (5, 2, 2)
    (out.square().mean() + net[0].kl()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
    before = net[0].kl()
    copied = copy.deepcopy(net)
    assert net[0].kl() is before
    with pytest.raises(RuntimeError, match="no forward pass yet"):
        copied[0].kl()
    for each in (net, copied):
        each.eval()
    outs = []
    for each in (net, copied):
        torch.manual_seed(1)
        outs.append(each(x))
    assert torch.equal(*outs) and not torch.equal(net(x), net(x))


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match=r"'gauss' found .* expected tags: 'gaussian'"):
        DynamicBayesianLinear(6, 3, "gauss")
    with pytest.raises(ValueError, match="found 5 features, expected 6"):
        DynamicBayesianLinear(6, 3)(torch.rand(4, 5))
