"""The whole model against its layers put together by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence

from comvae.engine.build import build
from comvae.model.layers import BayesianLinear, DynamicBayesianLinear, Linear
from comvae.model.maps import BatchNorm
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from tests.support import MODELS, run_config

KINDS = {"linear": Linear, "bayesian": BayesianLinear, "dynamic": DynamicBayesianLinear}


def distinct_norms(vae):
    """Fresh gammas, betas and running statistics are alike: make each its own."""
    generator = torch.Generator().manual_seed(5)
    for norm in (m for m in vae.modules() if isinstance(m, BatchNorm)):
        for tensor in (norm.gamma, norm.beta, norm.running_mean, norm.running_var):
            tensor.data += 0.3 * torch.rand(tensor.shape, generator=generator)
    return vae


@pytest.mark.parametrize("batch_statistics", [True, False])
@pytest.mark.parametrize("latent_scale", ["softplus", "exp"])
@pytest.mark.parametrize("name", MODELS)
def test_terms_are_those_of_the_layers_composed_by_hand(
    name, latent_scale, batch_statistics, models
):
    """Linear, batch norm, ReLU, twice; then mean, scale, z; then the decoder."""
    options = models[name].model_copy(
        update={"hidden_layers": 2, "latent_scale": latent_scale}
    )
    vae = distinct_norms(build(run_config(options, [0, 4]), 12))
    x = torch.rand(2, 16, 12, generator=torch.Generator().manual_seed(1))
    terms = vae(x, Mode(Noise([0, 4], "t"), batch_statistics=batch_statistics))

    mode = Mode(Noise([0, 4], "t"), batch_statistics=batch_statistics)
    encoder, h, total = vae.encoder, x, torch.zeros(2)
    assert [type(layer) for layer in encoder.hidden] == [
        KINDS[options.hidden_layer]
    ] * 2
    assert len(encoder.norms) == (2 if options.batch_norm_hidden else 0)
    for index, layer in enumerate(encoder.hidden):
        h, kl = layer(h, mode)
        if options.batch_norm_hidden:
            h = encoder.norms[index](h.transpose(1, 2), mode).transpose(1, 2)
        h, total = h.clamp(min=0), total + kl
    assert type(encoder.latents) is KINDS[options.latent_layer]
    latents, latents_kl = encoder.latents(h, mode)
    mean, s = latents[..., :16], latents[..., 16:]
    scale = torch.log1p(s.exp()) if latent_scale == "softplus" else (s / 2).exp()
    h = mean + scale * mode.noise.normal("latents", 16, mean.shape[2])
    assert len(vae.decoder.layers) == 3
    for layer in vae.decoder.layers[:2]:
        h = torch.stack(
            [F.linear(h[i], layer.weight[i].T, layer.bias[i]) for i in (0, 1)]
        ).clamp(min=0)
    logits = vae.decoder.layers[2].affine(h)
    likelihood = Bernoulli(logits=logits, validate_args=False).log_prob(x)
    latent_kl = kl_divergence(Normal(mean, scale), Normal(0.0, 1.0))
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(terms.reconstruction, -likelihood.sum(2), **close)
    torch.testing.assert_close(terms.latent_kl, latent_kl.sum(2), **close)
    torch.testing.assert_close(terms.weight_kl, total + latents_kl, **close)


def test_options_of_a_model_reach_its_layers(models):
    changes = {"batch_norm_momentum": 0.25, "weight_kl": "sampled"}
    options = models["compound-mixture"].model_copy(update=changes)
    encoder = build(run_config(options, [0]), 12).encoder
    assert encoder.hidden[0].options == encoder.latents.options == options
    norms = [m for m in encoder.modules() if isinstance(m, BatchNorm)]
    assert len(norms) == 2 + 1
    assert {norm.momentum for norm in norms} == {0.25}


def test_with_one_seed_every_model_starts_with_the_same_decoder(models):
    """Alone or in a block; and no two seeds, and no encoder, with the same numbers."""
    alone = build(run_config(models["vanilla"], [4]), 12)
    for name in MODELS:
        beside = build(run_config(models[name], [0, 4]), 12).decoder.state_dict()
        for key, own in alone.decoder.state_dict().items():
            assert beside[key][1].numpy().tobytes() == own[0].numpy().tobytes(), key
            assert not (beside[key][0] == own[0]).any()
    parts = alone.encoder.hidden[0].weight, alone.decoder.layers[0].weight
    drawn = torch.stack([part.flatten()[:192] for part in parts])
    assert torch.corrcoef(drawn)[0, 1].abs() < 0.3


def test_parameters_are_counted_for_one_seed(models):
    one, two = (
        build(run_config(models["compound-mixture"], s), 12) for s in ([0], [0, 1])
    )
    count = sum(parameter.numel() for parameter in one.parameters())
    assert one.parameters_per_seed() == two.parameters_per_seed() == count
