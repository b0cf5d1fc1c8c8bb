"""q* over an encoder's own family against q* over Gaussians and against its start."""

import pandas as pd
import pytest
import torch

from comvae.engine.training import train
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.measure import encode, measure
from comvae.evaluation.gap.own import own_optimum
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.results.plausible import Bounds
from comvae.study.settings import Gap
from tests.support import run_config

SEARCH = {"draws": 64, "iterations": 400, "tolerance": 0.001}
SEEDS = [0, 4]


def trained(options, blobs):
    """A decoder whose posteriors the encoder is far from."""
    config = run_config(options, SEEDS, 5, latent=3, learning_rate=0.01)
    vae = train(config, blobs).vae
    for parameter in vae.decoder.parameters():
        parameter.data *= 4
    return vae, config


@torch.no_grad()
def found_by(vae, x):
    """L of the best of the own family, of the best Gaussian, and of the encoder's."""
    target = DecoderTarget(vae.decoder, "bernoulli", x)
    outputs, _ = vae.encoder.outputs(x.expand(2, -1, -1), Mode(Noise(SEEDS, "t")))
    family = vae.encoder.posterior
    own = family(own_optimum(target, family, outputs, **SEARCH))
    start = family(outputs)
    (encoded,) = encode(vae, x, Noise(SEEDS, "t"), 1, sample_weights=False)
    optimum = local_optimum(target, encoded, **SEARCH)
    best = optimum.of_start(torch.zeros_like(optimum.best()))
    noise = Noise(SEEDS, "t")
    return [bounds(target, [q], 4000, noise, "elbo")[0] for q in (own, best, start)]


def test_over_gaussians_it_is_what_the_search_over_gaussians_finds(models, blobs):
    """From the same start, through mean and softplus of the outputs."""
    vae, _ = trained(models["vanilla"], blobs)
    own, best, start = found_by(vae, blobs.to_float(blobs.test))
    torch.testing.assert_close(own, best, rtol=0, atol=0.1)
    assert (own - best).mean().abs() < 0.02
    assert (best - start).mean() > 1


def test_a_flow_does_better_than_its_encoder_and_than_the_best_gaussian(models, blobs):
    vae, _ = trained(models["flow"], blobs)
    generator = torch.Generator().manual_seed(0)
    for coupling in vae.encoder.posterior.couplings:
        for parameter in coupling.values():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.2 * noise
    own, best, start = found_by(vae, blobs.to_float(blobs.test))
    assert (own - start).mean() > 1
    assert (own - best).mean() > 0.05


@pytest.mark.parametrize("name", ["vanilla", "flow"])
def test_gaps_have_it_where_the_posterior_is_no_gaussian(name, models, blobs):
    vae, config = trained(models[name], blobs)
    settings = Gap(images=12, importance_draws=1000, ais="off", certificate_images=0)
    table = measure(vae, config, blobs, settings)
    assert ("elbo_optimal_own" in table) == (name == "flow")
    if name == "flow":
        means = table[["elbo", "elbo_optimal_own", "log_px"]].mean()
        assert means.is_monotonic_increasing


def test_a_flow_may_beat_the_best_gaussian_and_nothing_else():
    rows = pd.DataFrame(
        {"elbo": [-5.0] * 9, "elbo_optimal": [-6.0] * 9, "log_px": [-4.0] * 9}
    )
    limits = Bounds(most=100.0, least=0.0)
    assert "mean of elbo is above" in limits.broken_by_images(rows)
    assert limits.broken_by_images(rows.assign(elbo_optimal_own=-4.5)) == ""
    worse = rows.assign(elbo_optimal_own=-5.5)
    assert "mean of elbo is above" in limits.broken_by_images(worse)
