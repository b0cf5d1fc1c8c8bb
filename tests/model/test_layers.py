"""Layers against float64 loops that follow the paper literally."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from comvae.model.layers import BayesianLinear, DynamicBayesianLinear, Linear
from comvae.model.maps import BatchNorm, NormalisedMap, ScaledMap
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import DynamicBayesian, ModelOptions, StaticBayesian
from comvae.model.priors import GaussianPrior, ScaleMixturePrior

SEEDS, BATCH, IN, OUT = [3, 7], 5, 4, 3
MIXTURE = ScaleMixturePrior()
PLAIN = ModelOptions(title="any")


def inputs() -> torch.Tensor:
    return torch.rand(len(SEEDS), BATCH, IN, generator=torch.Generator().manual_seed(0))


def training_mode(seeds=SEEDS) -> Mode:
    return Mode(Noise(seeds, "t"), batch_statistics=True, update_statistics=True)


def options(kind: str, prior=MIXTURE, **others) -> ModelOptions:
    return ModelOptions(title="any", hidden_layer=kind, weight_prior=prior, **others)


def dynamic_layer(batch_norm: bool, prior=MIXTURE, **start) -> DynamicBayesianLinear:
    own = options("dynamic", prior, batch_norm_maps=batch_norm)
    own = own.model_copy(update={"dynamic": DynamicBayesian(**start)})
    layer = DynamicBayesianLinear(IN, OUT, own, Noise(SEEDS, "init"))
    if batch_norm:  # fresh gammas are alike: make every weight's own
        generator = torch.Generator().manual_seed(5)
        for norm in (m for m in layer.modules() if isinstance(m, BatchNorm)):
            for parameter in (norm.gamma, norm.beta):
                parameter.data += 0.1 * torch.rand(parameter.shape, generator=generator)
    return layer


def static_layer(fan_in=IN, fan_out=OUT, prior=MIXTURE, **start) -> BayesianLinear:
    own = options("bayesian", prior, bayesian=StaticBayesian(**start))
    return BayesianLinear(fan_in, fan_out, own, Noise(SEEDS, "init"))


def test_linear_is_torch_linear_for_each_seed():
    layer, x = Linear(IN, OUT, PLAIN, Noise(SEEDS, "init")), inputs()
    h, kl = layer(x, training_mode())
    for s in range(len(SEEDS)):
        expected = F.linear(x[s], layer.weight[s].T, layer.bias[s])
        torch.testing.assert_close(h[s], expected)
    assert kl.tolist() == [0, 0]


def test_all_layers_start_in_the_range_of_torch_linear():
    start, init = (torch.ones(400), torch.zeros(400)), Noise([0], "init")
    plain, bayesian = Linear(100, 400, PLAIN, init), static_layer(100, 400, rho_init=-4)
    maps = [kind(100, *start, PLAIN, init).map for kind in (ScaledMap, NormalisedMap)]
    ranked = PLAIN.model_copy(update={"dynamic": DynamicBayesian(rank=16)})
    product = product_of(ScaledMap(100, *start, ranked, init), 0)
    assert product.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)
    for parameter in (
        plain.weight,
        plain.bias,
        bayesian.weight_mu,
        bayesian.bias_mu,
        *maps,
    ):
        assert parameter.abs().max() <= 0.1
        assert parameter.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)
    assert (bayesian.weight_rho == -4).all() and (bayesian.bias_rho == -4).all()


@pytest.mark.parametrize("draws", ["minibatch", "image"])
@pytest.mark.parametrize("prior", [MIXTURE, GaussianPrior(scale=0.5)])
def test_bayesian_linear_follows_blundell(draws, prior):
    layer = static_layer(prior=prior, draws=draws, rho_init=-1.0)
    x = inputs()
    h, kl = layer(x, training_mode())
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
    layer = static_layer(draws=draws, rho_init=-1.0)
    x = inputs()
    h, kl = layer(x, Mode(Noise(SEEDS, "t"), sample_weights=False))
    for s in range(len(SEEDS)):
        expected = F.linear(x[s], layer.weight_mu[s].T, layer.bias_mu[s])
        torch.testing.assert_close(h[s], expected)
    assert kl.tolist() == [0, 0]
    sampled, kl = layer(x, training_mode())
    same, none = layer(x, Mode(Noise(SEEDS, "t"), weight_kl=False))
    assert torch.equal(sampled, same) and not torch.allclose(sampled, h)
    assert (kl != 0).all() and none.tolist() == [0, 0]


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("prior", [MIXTURE, ScaleMixturePrior(pi=0.2, spike=0.1)])
def test_dynamic_layer_follows_section_2_2(batch_norm, rank, prior):
    """mu_w = W x, rho_w = W' x, ..., w = mu + softplus(rho) eps, h = w x + b, one image
    after the other in float64, with torch's own batch norm over the maps."""
    layer, x = dynamic_layer(batch_norm, prior, rank=rank), inputs()
    h, kl = layer(x, training_mode())
    eps = Noise(SEEDS, "t").normal("weights", OUT, IN + 1, BATCH).double()
    for s in range(len(SEEDS)):
        xs, total = x[s].double(), 0.0
        mu, rho = maps_by_hand(layer.maps, s, xs)
        for i in range(BATCH):
            w, w_kl = draw_by_hand(mu[i], rho[i], eps[s, ..., i], prior)
            expected = torch.stack(
                [
                    sum(w[o, j] * xs[i, j] for j in range(IN)) + w[o, IN]
                    for o in range(OUT)
                ]
            )
            torch.testing.assert_close(h[s, i].double(), expected, rtol=1e-4, atol=1e-5)
            total += w_kl
        assert kl[s].item() == pytest.approx(total / BATCH, rel=1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_maps_that_are_products_of_full_rank_are_the_full_maps(batch_norm):
    """Factors from an SVD of a full layer's maps, with a rank to spare."""
    full = dynamic_layer(batch_norm)
    ranked = dynamic_layer(batch_norm, rank=IN + 1)
    u, s, v = torch.linalg.svd(full.maps.map.data.double().view(2 * len(SEEDS), -1, IN))
    left, right = u[..., :IN] * s.sqrt().unsqueeze(1), s.sqrt().unsqueeze(2) * v
    ranked.maps.map.data = F.pad(left, (0, 1)).float().view_as(ranked.maps.map)
    inner = F.pad(right, (0, 0, 0, 1)).float()
    ranked.maps.inner.data = inner.view_as(ranked.maps.inner)
    for ours, theirs in zip(
        ranked(inputs(), training_mode()), full(inputs(), training_mode()), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_gradients_of_products_are_those_of_finite_differences(batch_norm):
    layer = dynamic_layer(batch_norm, ScaleMixturePrior(spike=0.2), rank=2).double()
    x = inputs().double().requires_grad_()

    def pass_through(x, *_):
        return layer(x, Mode(Noise(SEEDS, "t"), batch_statistics=True))

    tensors = (x, layer.maps.inner, layer.maps.map)
    # the hook of batch norm knows no gradient that is not there
    check = {"fast_mode": True, "check_undefined_grad": False}
    assert torch.autograd.gradcheck(pass_through, tensors, **check)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_closed_form_kl_of_a_dynamic_layer_is_that_of_torch(batch_norm):
    layer, x = dynamic_layer(batch_norm, GaussianPrior(scale=0.5)), inputs()
    _, kl = layer(x, training_mode())
    for s in range(len(SEEDS)):
        mu, rho = maps_by_hand(layer.maps, s, x[s].double())
        q, p = Normal(mu, torch.log1p(rho.exp())), Normal(torch.zeros_like(mu), 0.5)
        total = kl_divergence(q, p).sum().item()
        assert kl[s].item() == pytest.approx(total / BATCH, rel=1e-4)


def test_weights_are_drawn_only_where_the_kl_needs_them():
    """A number for each weight costs as many times more as there are inputs."""
    asked = training_mode(), Mode(Noise(SEEDS, "t"), weight_kl=False)
    outputs, weights = OUT * BATCH, OUT * (IN + 1) * BATCH
    for prior, drawn in ((MIXTURE, weights), (GaussianPrior(), outputs)):
        layer = dynamic_layer(batch_norm=True, prior=prior)
        sizes = [math.prod(layer.noise_shape(BATCH, mode)) for mode in asked]
        assert sizes == [drawn, outputs]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_output_without_weights_has_the_distribution_of_that_with_weights(batch_norm):
    """h is Gaussian given x: its mean and variance over the draws of w and b."""
    layer, x = dynamic_layer(batch_norm, rho_shift=0.5), inputs()[:, :3]
    mode = Mode(Noise(SEEDS, "t"), batch_statistics=True)
    without = Mode(mode.noise, batch_statistics=True, weight_kl=False)
    with torch.no_grad():
        drawn = {
            each: torch.stack([layer(x, each)[0] for _ in range(20000)])
            for each in (mode, without)
        }
    for s in range(len(SEEDS)):
        xs = x[s].double()
        mu, rho = maps_by_hand(layer.maps, s, xs)
        ones = torch.cat([xs, torch.ones(3, 1)], 1).unsqueeze(1)
        mean = (mu * ones).sum(2)
        deviation = (torch.log1p(rho.exp()) * ones).square().sum(2).sqrt()
        for h in drawn.values():
            off = (h[:, s].double().mean(0) - mean) / deviation
            assert off.abs().max() < 0.04  # 5 standard errors
            spread = h[:, s].double().std(0) / deviation
            assert (spread - 1).abs().max() < 0.025
    both = layer.moments(x, without)
    torch.testing.assert_close(both[0][-1].double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[1][-1].double(), deviation, rtol=1e-4, atol=1e-5)


def product_of(maps: nn.Module, s: int) -> torch.Tensor:
    """The map of one seed, float64 (size, fan_in); mu and rho have factors each."""
    m = maps.map[s].double()
    if maps.inner is None:
        return m
    factors = zip(m.chunk(2), maps.inner[s].double().chunk(2), strict=True)
    return torch.cat([left @ right for left, right in factors])


def maps_by_hand(maps: nn.Module, s: int, x: torch.Tensor) -> torch.Tensor:
    """mu and rho of section 2.2 for all images of one seed, float64 (2, batch, out,
    in + 1), the bias as the weight of a last input."""
    if hasattr(maps, "norm"):
        norm = nn.BatchNorm1d(len(maps.map[s])).double()
        norm.weight.data = maps.norm.gamma[s].double()
        norm.bias.data = maps.norm.beta[s].double()
        out = norm(x @ product_of(maps, s).T)
    else:
        x = x / ((x**2).mean(1, keepdim=True) + 1e-5).sqrt()
        out = maps.shift.view(-1) + maps.scale.view(-1) * (x @ product_of(maps, s).T)
    return out.view(len(x), 2, -1, x.shape[1] + 1).transpose(0, 1).detach()


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


@pytest.mark.parametrize("batch_norm", [True, False])
def test_dynamic_weights_start_at_the_scale_that_the_options_name(batch_norm):
    """A standard deviation of about 1/sqrt(fan_in) for w, and rho around -3."""
    fan_in, generator = 64, torch.Generator().manual_seed(0)
    own = options("dynamic", batch_norm_maps=batch_norm)
    layer = DynamicBayesianLinear(fan_in, 50, own, Noise([0], "init"))
    columns = torch.rand(1, fan_in, 200, generator=generator)
    maps = layer.maps(columns, training_mode([0]))
    mu, rho = maps.view(2, 50, fan_in + 1, 200)
    assert 0.4 < mu.std().item() * math.sqrt(fan_in) < 1.6
    assert rho.mean().item() == pytest.approx(-3, abs=0.1)


def test_maps_of_a_dynamic_layer_start_with_the_scales_and_shifts_of_the_options():
    start = DynamicBayesian(
        mu_scale=0.7, mu_shift=0.2, rho_scale=0.3, rho_shift=-2, normalise_input=False
    )
    size = OUT * (IN + 1)
    scale = torch.tensor([0.7] * size + [0.3] * size)
    shift = torch.tensor([0.2] * size + [-2.0] * size)
    for batch_norm in (True, False):
        own = options(
            "dynamic",
            dynamic=start,
            batch_norm_maps=batch_norm,
            batch_norm_momentum=0.3,
        )
        maps = DynamicBayesianLinear(IN, OUT, own, Noise(SEEDS, "init")).maps
        assert maps.map.shape == (len(SEEDS), 2 * size, IN)
        if batch_norm:
            for s in range(len(SEEDS)):
                torch.testing.assert_close(maps.norm.gamma[s], scale)
                torch.testing.assert_close(maps.norm.beta[s], shift)
            assert maps.norm.momentum == 0.3
        else:
            torch.testing.assert_close(maps.scale.view(-1), scale)
            torch.testing.assert_close(maps.shift.view(-1), shift)
            assert not maps.normalise_input


def test_maps_without_batch_norm_follow_the_size_of_the_input_only_where_asked():
    columns = inputs().transpose(1, 2)
    for normalise_input in (True, False):
        start = torch.full((OUT,), 0.5), torch.full((OUT,), -3.0)
        own = DynamicBayesian(normalise_input=normalise_input)
        own = PLAIN.model_copy(update={"dynamic": own})
        weight_map = ScaledMap(IN, *start, own, Noise(SEEDS, "init"))
        x = columns
        if normalise_input:
            x = x / ((x**2).mean(1, keepdim=True) + 1e-5).sqrt()
        expected = torch.einsum("soi,sib->sob", weight_map.map, x) * 0.5 - 3
        torch.testing.assert_close(weight_map(columns, training_mode()), expected)


def test_gradients_of_a_map_are_finite_where_relu_left_nothing():
    start = torch.full((OUT,), 0.5), torch.full((OUT,), -3.0)
    weight_map = ScaledMap(IN, *start, PLAIN, Noise(SEEDS, "init"))
    columns = torch.zeros(len(SEEDS), IN, BATCH, requires_grad=True)
    out = weight_map(columns, training_mode())
    out.sum().backward()
    assert (out == -3).all()
    assert torch.isfinite(columns.grad).all()
    assert torch.isfinite(weight_map.map.grad).all()


@pytest.mark.parametrize("momentum,theirs", [(0.3, 0.3), ("cumulative", None)])
def test_batch_norm_is_torch_batch_norm_for_each_seed(momentum, theirs):
    generator = torch.Generator().manual_seed(1)
    own = PLAIN.model_copy(update={"batch_norm_momentum": momentum})
    ours = BatchNorm(torch.ones(6), torch.zeros(6), own, Noise(SEEDS, "init"))
    ours.gamma.data = torch.rand(ours.gamma.shape, generator=generator)
    ours.beta.data = torch.rand(ours.beta.shape, generator=generator)
    theirs = [nn.BatchNorm1d(6, momentum=theirs) for _ in SEEDS]
    for s, norm in enumerate(theirs):
        norm.weight.data, norm.bias.data = ours.gamma[s].data, ours.beta[s].data
    for _ in range(3):
        x = torch.randn(len(SEEDS), BATCH, 6, generator=generator) * 3 + 1
        out = ours(x.transpose(1, 2), training_mode())
        for s, norm in enumerate(theirs):
            torch.testing.assert_close(out[s].T, norm(x[s]))
            torch.testing.assert_close(ours.running_mean[s], norm.running_mean)
            torch.testing.assert_close(ours.running_var[s], norm.running_var)
    out = ours(x.transpose(1, 2), Mode(Noise(SEEDS, "t")))
    for s, norm in enumerate(theirs):
        torch.testing.assert_close(out[s].T, norm.eval()(x[s]))


def test_batch_statistics_without_update_leave_the_running_statistics_alone():
    norm = BatchNorm(torch.ones(6), torch.zeros(6), PLAIN, Noise([0], "init"))
    x = torch.randn(1, 6, BATCH, generator=torch.Generator().manual_seed(2)) + 4
    out = norm(x, Mode(Noise([0], "t"), batch_statistics=True))
    torch.testing.assert_close(out.mean(2), torch.zeros(1, 6), atol=1e-5, rtol=0)
    assert norm.running_mean.abs().max() == 0
    assert (norm.running_var == 1).all()


def test_weight_kl_of_a_dynamic_layer_over_the_images():
    layer = dynamic_layer(batch_norm=False)
    _, mean = layer(inputs(), training_mode())
    layer.options = layer.options.model_copy(update={"weight_kl_over_images": "sum"})
    _, kl = layer(inputs(), training_mode())
    torch.testing.assert_close(kl, BATCH * mean)


def test_gradients_are_finite_where_a_weight_has_no_noise():
    """softplus underflows far below zero, and so does the deviation of the output."""
    layer = dynamic_layer(batch_norm=False, rho_shift=-200.0)
    x = inputs().requires_grad_()
    h, _ = layer(x, Mode(Noise(SEEDS, "t"), batch_statistics=True, weight_kl=False))
    h.sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.isfinite().all()
