"""The importance-weighted bound and its doubly reparameterised gradient."""

import math

import pytest
import torch
from torch.distributions import Normal

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from tests.support import run_config

SEEDS = list(range(200))  # replicates of one model, each with noise of its own
ROUNDS = 40
DRAWS = 8


@pytest.fixture(scope="module")
def replicates(models, blobs):
    """One model, whose latents matter, once for each of SEEDS; and some images."""
    options = models["iwae-5"].model_copy(update={"latent_draws": DRAWS})
    vae = build(run_config(options, SEEDS, latent=4), 12)
    for name, parameter in vae.named_parameters():
        parameter.data[:] = (3 if "decoder" in name else 1) * parameter.data[:1].clone()
    return vae, blobs.to_float(blobs.train[:4]).expand(len(SEEDS), -1, -1)


def plain(vae, x, mode):
    """The bound by hand: everything a function of all parameters."""
    posterior, _ = vae.encoder(x, mode)
    mean, scale = posterior.mean.unsqueeze(2), posterior.scale.unsqueeze(2)
    eps = mode.noise.normal("latents", x.shape[1], DRAWS, vae.latent)
    z = mean + scale * eps
    logits = vae.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
    log_p = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_p = log_p - reconstruction_loss("bernoulli", logits, x.unsqueeze(2))
    log_w = log_p - Normal(mean, scale).log_prob(z).sum(-1)
    return log_w.logsumexp(2) - math.log(DRAWS)


def gradients(vae, x, objective):
    """Of the last layer of the encoder and of the first of the decoder, one for each
    replicate and round."""
    mode, found = Mode(Noise(SEEDS, "t")), []
    parameters = [vae.encoder.latents.bias, vae.decoder.layers[0].bias]
    for _ in range(ROUNDS):
        loss = -objective(vae, x, mode).mean(1).sum()
        found.append([g.double() for g in torch.autograd.grad(loss, parameters)])
    return [torch.cat(each) for each in zip(*found, strict=True)]


def ours(vae, x, mode):
    return -vae(x, mode).negative_bound


def test_the_gradient_has_the_mean_of_the_plain_one_and_less_variance(replicates):
    """Tucker et al. 2019: the encoder's by their equation 8, the decoder's the same."""
    vae, x = replicates
    bounds = [f(vae, x, Mode(Noise(SEEDS, "t"))) for f in (ours, plain)]
    torch.testing.assert_close(*bounds, rtol=1e-4, atol=1e-4)
    encoder, decoder = gradients(vae, x, ours)
    plain_encoder, plain_decoder = gradients(vae, x, plain)
    torch.testing.assert_close(decoder, plain_decoder, rtol=1e-3, atol=1e-4)
    error = ((encoder.var(0) + plain_encoder.var(0)) / len(encoder)).sqrt()
    difference = (encoder.mean(0) - plain_encoder.mean(0)) / error
    assert difference.abs().max() < 4
    assert (encoder.var(0) < 0.2 * plain_encoder.var(0)).all()
    assert (encoder.mean(0).abs() > 20 * error).any()  # what they agree on is not zero


def test_with_one_draw_it_is_the_elbo_to_the_last_bit(models, blobs):
    options = models["vanilla"].model_copy(update={"objective": "iwae"})
    one, other = (
        train(run_config(each, [0, 4], kernels="off"), blobs)
        for each in (options, models["vanilla"])
    )
    for name, tensor in one.vae.state_dict().items():
        assert torch.equal(tensor, other.vae.state_dict()[name]), name
    bound = one.history.pop("negative_bound")
    assert one.history.equals(other.history)
    torch.testing.assert_close(bound.tolist(), one.history["negative_elbo"].tolist())


def test_its_terms_are_those_of_the_elbo_and_more_draws_raise_the_bound(models, blobs):
    """Over 400 minibatches: from the ELBO towards log p(x)."""
    x, means = blobs.to_float(blobs.train).expand(1, -1, -1), []
    for draws in (1, 5, 50):
        changes = {"objective": "iwae", "latent_draws": draws}
        options = models["vanilla"].model_copy(update=changes)
        vae, mode = build(run_config(options, [3]), 12), Mode(Noise([3], "t"))
        with torch.no_grad():
            terms = [vae(x, mode) for _ in range(400)]
        assert torch.equal(terms[0].latent_kl, vae.encoder(x, mode)[0].kl())
        means.append(
            [
                torch.stack([t.reconstruction for t in terms]).mean().item(),
                torch.stack([t.negative_bound for t in terms]).mean().item(),
            ]
        )
    (elbo_nats, elbo), (five_nats, five), (fifty_nats, fifty) = means
    assert elbo_nats == pytest.approx(five_nats, abs=0.01)
    assert elbo_nats == pytest.approx(fifty_nats, abs=0.01)
    assert elbo > five + 0.1 > fifty + 0.2
