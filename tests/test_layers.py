"""Layers against float64 loops that follow the paper literally."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from comvae.layers import (
    BatchNorm,
    BayesianLinear,
    BayesianOptions,
    DynamicBayesianLinear,
    Linear,
    NormalisedMap,
    Pass,
    ScaledMap,
)
from comvae.noise import Noise
from comvae.options import DynamicBayesian, StaticBayesian
from comvae.priors import GaussianPrior, ScaleMixturePrior

SEEDS, BATCH, IN, OUT = [3, 7], 5, 4, 3
MIXTURE = ScaleMixturePrior()


def inputs() -> torch.Tensor:
    return torch.rand(len(SEEDS), BATCH, IN, generator=torch.Generator().manual_seed(0))


def training_pass() -> Pass:
    return Pass(Noise(SEEDS, "t"), batch_statistics=True, update_statistics=True)


def dynamic_layer(batch_norm: bool, prior=MIXTURE, **options) -> DynamicBayesianLinear:
    layer = DynamicBayesianLinear(
        *(IN, OUT, Noise(SEEDS, "init")),
        *(DynamicBayesian(**options), BayesianOptions(prior), batch_norm, 0.1),
    )
    if batch_norm:  # fresh gammas are alike: make every weight's own
        generator = torch.Generator().manual_seed(5)
        for norm in (m for m in layer.modules() if isinstance(m, BatchNorm)):
            for parameter in (norm.gamma, norm.beta):
                parameter.data += 0.1 * torch.rand(parameter.shape, generator=generator)
    return layer


def test_linear_is_torch_linear_for_each_seed():
    layer, x = Linear(IN, OUT, Noise(SEEDS, "init")), inputs()
    h, kl = layer(x, training_pass())
    for s in range(len(SEEDS)):
        expected = F.linear(x[s], layer.weight[s].T, layer.bias[s])
        torch.testing.assert_close(h[s], expected)
    assert kl.tolist() == [0, 0]


def test_linear_starts_in_the_range_of_torch_linear():
    layer = Linear(100, 400, Noise([0], "init"))
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= 0.1
        assert parameter.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)


def test_bayesian_linear_starts_like_torch_linear_with_the_rho_of_the_options():
    layer = BayesianLinear(
        *(100, 400, Noise([0], "init")),
        *(StaticBayesian(rho_init=-4.0), BayesianOptions(MIXTURE)),
    )
    for mu in (layer.weight_mu, layer.bias_mu):
        assert mu.abs().max() <= 0.1
        assert mu.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)
    assert (layer.weight_rho == -4).all() and (layer.bias_rho == -4).all()


@pytest.mark.parametrize("draws", ["minibatch", "image"])
@pytest.mark.parametrize("prior", [MIXTURE, GaussianPrior(scale=0.5)])
def test_bayesian_linear_follows_blundell(draws, prior):
    layer = BayesianLinear(
        *(IN, OUT, Noise(SEEDS, "init")),
        *(StaticBayesian(draws=draws, rho_init=-1.0), BayesianOptions(prior)),
    )
    x = inputs()
    h, kl = layer(x, training_pass())
    images = BATCH if draws == "image" else 1
    noise = Noise(SEEDS, "t")
    eps_w = noise.normal("weights", images, IN, OUT).double()
    eps_b = noise.normal("weights", images, OUT).double()
    for s in range(len(SEEDS)):
        total = 0.0
        for i in range(BATCH):
            draw = i if draws == "image" else 0
            w, w_kl = draw_by_hand(
                layer.weight_mu[s], layer.weight_rho[s], eps_w[s, draw], prior
            )
            b, b_kl = draw_by_hand(
                layer.bias_mu[s], layer.bias_rho[s], eps_b[s, draw], prior
            )
            torch.testing.assert_close(
                h[s, i].double(), x[s, i].double() @ w + b, rtol=1e-4, atol=1e-5
            )
            total += w_kl + b_kl
        assert kl[s].item() == pytest.approx(total / BATCH, rel=1e-4)


@pytest.mark.parametrize("draws", ["minibatch", "image"])
def test_bayesian_linear_with_its_weights_at_their_means(draws):
    layer = BayesianLinear(
        *(IN, OUT, Noise(SEEDS, "init")),
        *(StaticBayesian(draws=draws, rho_init=-1.0), BayesianOptions(MIXTURE)),
    )
    x = inputs()
    h, kl = layer(x, Pass(Noise(SEEDS, "t"), sample_weights=False))
    for s in range(len(SEEDS)):
        expected = F.linear(x[s], layer.weight_mu[s].T, layer.bias_mu[s])
        torch.testing.assert_close(h[s], expected)
    assert kl.tolist() == [0, 0]
    sampled, kl = layer(x, training_pass())
    same, none = layer(x, Pass(Noise(SEEDS, "t"), weight_kl=False))
    assert torch.equal(sampled, same) and not torch.allclose(sampled, h)
    assert (kl != 0).all() and none.tolist() == [0, 0]


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("prior", [MIXTURE, GaussianPrior()])
def test_dynamic_layer_follows_section_2_2(batch_norm, prior):
    """mu_w = W x, rho_w = W' x, ..., w = mu + softplus(rho) eps, h = w x + b, one image
    after the other in float64, with torch's own batch norm over the maps."""
    layer, x = dynamic_layer(batch_norm, prior), inputs()
    h, kl = layer(x, training_pass())
    noise = Noise(SEEDS, "t")
    eps_w = noise.normal("weights", OUT, IN, BATCH).double()
    eps_b = noise.normal("weights", OUT, BATCH).double()
    for s in range(len(SEEDS)):
        xs, total = x[s].double(), 0.0
        mu_w = map_by_hand(layer.weight_mu, s, xs)
        rho_w = map_by_hand(layer.weight_rho, s, xs)
        mu_b = map_by_hand(layer.bias_mu, s, xs)
        rho_b = map_by_hand(layer.bias_rho, s, xs)
        for i in range(BATCH):
            w, w_kl = draw_by_hand(
                mu_w[i].view(OUT, IN), rho_w[i].view(OUT, IN), eps_w[s, ..., i], prior
            )
            b, b_kl = draw_by_hand(mu_b[i], rho_b[i], eps_b[s, ..., i], prior)
            expected = torch.stack(
                [sum(w[o, j] * xs[i, j] for j in range(IN)) + b[o] for o in range(OUT)]
            )
            torch.testing.assert_close(h[s, i].double(), expected, rtol=1e-4, atol=1e-5)
            total += w_kl + b_kl
        assert kl[s].item() == pytest.approx(total / BATCH, rel=1e-4)


def map_by_hand(weight_map: nn.Module, s: int, x: torch.Tensor) -> torch.Tensor:
    """One map of section 2.2 for all images of one seed, (batch, size), float64."""
    if not hasattr(weight_map, "norm"):
        x = x / ((x**2).mean(1, keepdim=True) + 1e-5).sqrt()
        return weight_map.shift + weight_map.scale * (x @ weight_map.map[s].double().T)
    norm = nn.BatchNorm1d(len(weight_map.map[s])).double()
    norm.weight.data = weight_map.norm.gamma[s].double()
    norm.bias.data = weight_map.norm.beta[s].double()
    return norm(x @ weight_map.map[s].double().T)


def draw_by_hand(mu, rho, eps, prior) -> tuple[torch.Tensor, float]:
    """Weights and their KL in nats, from torch.distributions in float64."""
    mu, sigma = mu.detach().double(), torch.log1p(rho.detach().double().exp())
    w, q = mu + sigma * eps, Normal(mu, sigma)
    if isinstance(prior, GaussianPrior):
        zero = torch.zeros_like(mu)
        kl = kl_divergence(q, Normal(zero, zero + prior.scale))
    else:
        zero = torch.zeros_like(w)
        slab = Normal(zero, zero + prior.slab).log_prob(w)
        spike = Normal(zero, zero + prior.spike).log_prob(w)
        log_p = (prior.pi * slab.exp() + (1 - prior.pi) * spike.exp()).log()
        kl = q.log_prob(w) - log_p
    return w, kl.sum().item()


def test_weights_of_a_dynamic_layer_differ_between_images_and_follow_their_input():
    layer, x = dynamic_layer(batch_norm=False), inputs()
    x[:, 1] = x[:, 0]
    mean = Pass(Noise(SEEDS, "t"), sample_weights=False)
    h, _ = layer(x, mean)
    torch.testing.assert_close(h[:, 0], h[:, 1])
    assert not torch.allclose(h[:, 0], h[:, 2])
    noisy, _ = layer(x, training_pass())
    assert not torch.allclose(noisy[:, 0], noisy[:, 1])


@pytest.mark.parametrize("batch_norm", [True, False])
def test_dynamic_weights_start_at_the_scale_that_the_options_name(batch_norm):
    """DESIGN section 5: std about 1/sqrt(fan_in) for w, rho around -3."""
    fan_in, generator = 64, torch.Generator().manual_seed(0)
    layer = DynamicBayesianLinear(
        *(fan_in, 50, Noise([0], "init"), DynamicBayesian()),
        *(BayesianOptions(MIXTURE), batch_norm, 0.1),
    )
    columns = torch.rand(1, fan_in, 200, generator=generator)
    mu = layer.weight_mu(columns, training_pass_for([0]))
    rho = layer.weight_rho(columns, training_pass_for([0]))
    assert 0.4 < mu.std().item() * math.sqrt(fan_in) < 1.6
    assert rho.mean().item() == pytest.approx(-3, abs=0.1)


def training_pass_for(seeds: list[int]) -> Pass:
    return Pass(Noise(seeds, "t"), batch_statistics=True, update_statistics=True)


def test_maps_of_a_dynamic_layer_start_with_the_scales_and_shifts_of_the_options():
    options = DynamicBayesian(
        mu_scale=0.7, mu_shift=0.2, rho_scale=0.3, rho_shift=-2, normalise_input=False
    )
    expected = {"mu": (0.7, 0.2), "rho": (0.3, -2.0)}
    for batch_norm in (True, False):
        layer = DynamicBayesianLinear(
            *(IN, OUT, Noise(SEEDS, "init"), options),
            *(BayesianOptions(MIXTURE), batch_norm, 0.3),
        )
        for of in ("weight", "bias"):
            for name, (scale, shift) in expected.items():
                weight_map = getattr(layer, f"{of}_{name}")
                size = OUT * IN if of == "weight" else OUT
                assert weight_map.map.shape == (len(SEEDS), size, IN)
                if batch_norm:
                    norm = weight_map.norm
                    torch.testing.assert_close(
                        norm.gamma, torch.full((len(SEEDS), size), scale)
                    )
                    torch.testing.assert_close(
                        norm.beta, torch.full((len(SEEDS), size), shift)
                    )
                    assert norm.momentum == 0.3
                else:
                    assert (weight_map.scale, weight_map.shift) == (scale, shift)
                    assert not weight_map.normalise_input


def test_maps_start_in_the_range_of_torch_linear():
    options = DynamicBayesian()
    scaled = ScaledMap(100, 400, Noise([0], "init"), 1.0, 0.0, options)
    normalised = NormalisedMap(100, 400, Noise([0], "init"), 1.0, 0.0, 0.1)
    for weights in (scaled.map, normalised.map):
        assert weights.abs().max() <= 0.1
        assert weights.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)


def test_maps_without_batch_norm_follow_the_size_of_the_input_only_where_asked():
    columns = inputs().transpose(1, 2)
    for normalise_input in (True, False):
        options = DynamicBayesian(normalise_input=normalise_input)
        weight_map = ScaledMap(IN, OUT, Noise(SEEDS, "init"), 0.5, -3.0, options)
        x = columns
        if normalise_input:
            x = x / ((x**2).mean(1, keepdim=True) + 1e-5).sqrt()
        expected = torch.einsum("soi,sib->sob", weight_map.map, x) * 0.5 - 3
        torch.testing.assert_close(weight_map(columns, training_pass()), expected)


def test_gradients_of_a_map_are_finite_where_relu_left_nothing():
    weight_map = ScaledMap(IN, OUT, Noise(SEEDS, "init"), 0.5, -3.0, DynamicBayesian())
    columns = torch.zeros(len(SEEDS), IN, BATCH, requires_grad=True)
    out = weight_map(columns, training_pass())
    out.sum().backward()
    assert (out == -3).all()
    assert torch.isfinite(columns.grad).all()
    assert torch.isfinite(weight_map.map.grad).all()


def test_batch_norm_is_torch_batch_norm_for_each_seed():
    generator = torch.Generator().manual_seed(1)
    ours = BatchNorm(len(SEEDS), 6, 1.0, 0.0, 0.3, torch.zeros(1))
    ours.gamma.data = torch.rand(ours.gamma.shape, generator=generator)
    ours.beta.data = torch.rand(ours.beta.shape, generator=generator)
    theirs = [nn.BatchNorm1d(6, momentum=0.3) for _ in SEEDS]
    for s, norm in enumerate(theirs):
        norm.weight.data, norm.bias.data = ours.gamma[s].data, ours.beta[s].data
    for _ in range(3):
        x = torch.randn(len(SEEDS), BATCH, 6, generator=generator) * 3 + 1
        out = ours(x.transpose(1, 2), training_pass())
        for s, norm in enumerate(theirs):
            torch.testing.assert_close(out[s].T, norm(x[s]))
            torch.testing.assert_close(ours.running_mean[s], norm.running_mean)
            torch.testing.assert_close(ours.running_var[s], norm.running_var)
    out = ours(x.transpose(1, 2), Pass(Noise(SEEDS, "t")))
    for s, norm in enumerate(theirs):
        torch.testing.assert_close(out[s].T, norm.eval()(x[s]))


def test_batch_statistics_without_update_leave_the_running_statistics_alone():
    norm = BatchNorm(1, 6, 1.0, 0.0, 0.1, torch.zeros(1))
    x = torch.randn(1, 6, BATCH, generator=torch.Generator().manual_seed(2)) + 4
    out = norm(x, Pass(Noise([0], "t"), batch_statistics=True))
    torch.testing.assert_close(out.mean(2), torch.zeros(1, 6), atol=1e-5, rtol=0)
    assert norm.running_mean.abs().max() == 0
    assert (norm.running_var == 1).all()


@pytest.mark.parametrize("over_images,factor", [("mean", 1), ("sum", BATCH)])
def test_weight_kl_of_a_dynamic_layer_over_the_images(over_images, factor):
    layer = dynamic_layer(batch_norm=False)
    _, mean = layer(inputs(), training_pass())
    layer.bayesian = BayesianOptions(MIXTURE, over_images=over_images)
    _, kl = layer(inputs(), training_pass())
    torch.testing.assert_close(kl, factor * mean)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_weight_kl_can_be_left_out_without_changing_the_output(batch_norm):
    layer, x = dynamic_layer(batch_norm), inputs()
    h, kl = layer(x, training_pass())
    same, none = layer(x, Pass(Noise(SEEDS, "t"), True, True, True, weight_kl=False))
    assert (kl != 0).all() and (none == 0).all()
    assert torch.equal(h, same)
