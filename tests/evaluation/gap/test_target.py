"""The likelihood of a frozen decoder, against the decoder itself and autograd."""

import pytest
import torch

from comvae.evaluation.gap import chunks
from comvae.evaluation.gap.target import DecoderTarget, even_part
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.options import ModelOptions
from comvae.model.quasi_normal import quasi_normal
from comvae.model.vae import Decoder

LIKELIHOODS = ["bernoulli", "continuous-bernoulli"]


def decoder_of(pixels, hidden, latent, hidden_layers, init):
    options = ModelOptions(title="any", hidden_layers=hidden_layers)
    return Decoder(pixels, hidden, latent, options, init)


def decoded(decoder, likelihood, x, z):
    """log p(x given z) from the decoder's own forward pass, and its gradient."""
    z = z.flatten(1, 2).clone().requires_grad_()
    logits = decoder(z)
    images = x.expand(len(z), *x.shape[-2:])
    rows = images.repeat_interleave(z.shape[1] // x.shape[-2], 1)
    value = -reconstruction_loss(likelihood, logits, rows)
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("hidden_layers,pixels", [(1, 12), (2, 70), (1, 128)])
def test_likelihood_and_gradient_are_those_of_the_decoder(
    likelihood, hidden_layers, pixels, monkeypatch
):
    monkeypatch.setitem(chunks.LOGITS, "cpu", 300)  # several chunks of each kind
    decoder = decoder_of(pixels, 9, 4, hidden_layers, Noise([3, 8], "t"))
    with torch.no_grad():
        decoder.layers[-1].weight.mul_(20)  # logits up to some tens
    noise = Noise([3, 8], "u")
    x = (noise.uniform("x", 0.5, 5, pixels) + 0.5)[0]
    z = noise.normal("z", 5, 7, 4)
    target = DecoderTarget(decoder, likelihood, x)
    expected, slope = decoded(decoder, likelihood, x, z)
    close = {"rtol": 1e-5, "atol": 2e-4}
    torch.testing.assert_close(target.log_likelihood(z).flatten(1), expected, **close)
    value, gradient = target.gradient(z)
    torch.testing.assert_close(value.flatten(1), expected, **close)
    torch.testing.assert_close(gradient.flatten(1, 2), slope, rtol=1e-4, atol=2e-3)

    shared = z[0, 0]
    everywhere = shared.expand(2, 5, 7, 4)
    torch.testing.assert_close(
        target.at_points(shared), target.log_likelihood(everywhere), **close
    )
    index = torch.tensor([[4, 4, 0], [1, 2, 1]])
    wanted = torch.stack([z[s, index[s]] for s in range(2)])
    torch.testing.assert_close(
        target.select(index).log_likelihood(wanted),
        torch.stack([target.log_likelihood(z)[s, index[s]] for s in range(2)]),
        **close,
    )
    each = DecoderTarget(decoder, likelihood, torch.stack([x, 1 - x]))
    torch.testing.assert_close(
        each.log_likelihood(z)[1],
        DecoderTarget(decoder, likelihood, 1 - x).log_likelihood(z)[1],
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("size", [0.0, 1e-5, 0.01, 0.09, 0.11, 3.0, 60.0, 5e3])
@pytest.mark.parametrize("pixels", [1, 64, 100])
def test_even_part_is_exact_for_small_and_large_logits(likelihood, size, pixels):
    logits = size * torch.linspace(-1, 1, pixels).unsqueeze(0)
    grey = torch.full_like(logits, 0.5).double()
    expected = reconstruction_loss(likelihood, logits.double(), grey).float()
    torch.testing.assert_close(
        even_part(likelihood, logits), expected, rtol=2e-6, atol=2e-6 * pixels
    )


@pytest.mark.parametrize("size", [0.01, 0.099, 0.101, 3.0])
def test_gradient_of_the_continuous_bernoulli_is_exact_for_small_logits(size):
    """The gradient's series near zero, against float64 autograd."""
    decoder = decoder_of(1, 3, 2, 1, Noise([0], "t"))
    with torch.no_grad():
        decoder.layers[-1].weight.zero_()
        decoder.layers[-1].weight[..., 0, 0] = size
        decoder.layers[-1].bias.zero_()
    grey, z = torch.full((1, 1), 0.5), Noise([0], "u").normal("z", 1, 8, 2) + 2
    _, gradient = DecoderTarget(decoder, "continuous-bernoulli", grey).gradient(z)
    _, exact = decoded(decoder.double(), "continuous-bernoulli", grey, z.double())
    torch.testing.assert_close(
        gradient.flatten(1, 2).double(), exact, rtol=2e-5, atol=1e-9
    )


def test_quasi_normal_points_average_quadratics_exactly():
    points = quasi_normal(32, 5).double()
    assert points.shape == (32, 5) and torch.equal(points[:16], -points[16:])
    covariance = points.T @ points / 32
    torch.testing.assert_close(
        covariance, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-6
    )
    many = quasi_normal(4096, 5).abs()  # and they are normal: E|e| = sqrt(2/pi)
    assert many.mean().item() == pytest.approx((2 / torch.pi) ** 0.5, abs=0.002)


def test_chunks_cover_everything_once():
    parts = list(chunks.chunks(10, 3, 12))
    assert [part.stop - part.start for part in parts] == [4, 4, 2]
    assert [part.start for part in parts] == [0, 4, 8]
    assert len(list(chunks.chunks(3, 100, 12))) == 3  # never less than one item
