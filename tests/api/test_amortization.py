"""The gaps of any VAE: against closed forms, and as for the study's own models."""

import pytest
import torch
from torch import nn
from torch.distributions import Normal

import comvae
from comvae.api.amortization import ModuleTarget
from comvae.evaluation.gap.oracles import linear_gaussian, simulate, two_sided_decoder
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.noise import Noise

FAST = {"final_draws": 2000, "importance_draws": 500}


def test_it_finds_what_is_known():
    """A linear decoder of Gaussian pixels, and an encoder that is off in mean and
    scale: every quantity has a closed form."""
    known = linear_gaussian(sigma=0.5, images=40, latent=3, pixels=12)
    mean, scale = (each[0].float() for each in known.optimum())
    wrong = mean + 0.4 * scale, 1.5 * scale
    weight, bias = known.weight[0], known.bias[0]
    found = comvae.amortization_gap(
        lambda z: Normal(z @ weight + bias, 0.5),
        lambda x: Normal(*wrong),
        known.x[0],
        **FAST,
    )
    best, own = (
        known.elbo(mean[None], scale[None]),
        known.elbo(*(w[None] for w in wrong)),
    )
    truth = {
        "log_px": known.log_evidence(),
        "elbo": own,
        "amortization_gap": best - own,
        "approximation_gap": known.log_evidence() - best,
        "inference_gap": known.log_evidence() - own,
    }
    assert len(found) == 40 and found["converged"].all()
    for name, values in truth.items():
        assert found[name].mean() == pytest.approx(values.mean().item(), abs=0.03), name


def test_a_decoder_is_seen_as_the_studys_target_sees_it():
    decoder, noise = two_sided_decoder(2.0), Noise([0], "target")
    _, x = simulate(decoder, noise, 6)
    known = DecoderTarget(decoder, "bernoulli", x)
    given = ModuleTarget(lambda z: decoder(z[None])[0], x[0])
    z = noise.normal("z", 6, 5, 2)
    torch.testing.assert_close(given.log_likelihood(z), known.log_likelihood(z))
    for mine, its in zip(given.gradient(z), known.gradient(z), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-4)
    points = torch.randn(9, 2)
    torch.testing.assert_close(given.at_points(points), known.at_points(points))
    some = torch.tensor([[4, 1, 1]])
    torch.testing.assert_close(
        given.select(some).log_likelihood(z[:, :3]),
        known.select(some).log_likelihood(z[:, :3]),
    )


class Small(nn.Module):
    """Pictures of 2x3 pixels, with what training and evaluation treat otherwise."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        layers = nn.Linear(first, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.net = nn.Sequential(*layers, nn.ReLU(), nn.Linear(8, last))

    def forward(self, x):
        out = self.net(x.flatten(1))
        return out.chunk(2, 1) if out.shape[1] == 4 else out.unflatten(1, (2, 3))


def test_modules_are_evaluated_and_then_as_they_were():
    torch.manual_seed(0)
    encoder, decoder, x = Small(6, 4), Small(2, 6), torch.rand(5, 2, 3)
    decoder.net[1].eval()
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    found = comvae.amortization_gap(decoder, encoder, x, **FAST)
    again = comvae.amortization_gap(decoder, encoder, x, **FAST)
    assert found.equals(again) and (found["amortization_gap"] > 0).all()
    assert encoder.training and decoder.training and not decoder.net[1].training
    assert all(torch.equal(v, before[k]) for k, v in decoder.state_dict().items())


@pytest.mark.parametrize(
    "decoder,encoder,message",
    [
        (lambda z: z, lambda x: x, "encoder: gave Tensor, expected a normal"),
        (lambda z: z, lambda x: (x[:2, :2], x[:2, :2]), r"expected \(4, latent\)"),
        (lambda z: z, lambda x: (x, x), r"gave values .* expected .*images like x"),
        (lambda z: (z, z), lambda x: (x, x), "decoder: gave tuple, expected a distrib"),
    ],
)
def test_what_is_no_vae_is_refused(decoder, encoder, message):
    def latents(x):
        given = encoder(x)
        return tuple(e[:, :2] for e in given) if isinstance(given, tuple) else given

    with pytest.raises(ValueError, match=message):
        comvae.amortization_gap(decoder, latents, torch.rand(4, 3))
