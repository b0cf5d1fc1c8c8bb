"""Training through steps of SVI: its gradient, and that it learns."""

import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.evaluation.elbo import evaluate
from comvae.evaluation.encoders import with_evaluated_encoder
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import SVI
from comvae.model.vae import elbo
from comvae.study.settings import Evaluation
from tests.engine.steps import history_of
from tests.support import run_config


def of(models, **svi):
    return models["sa-vae"].model_copy(update={"svi": SVI(**svi)})


def test_its_gradient_is_that_of_finite_differences(models, blobs):
    """Along a direction through all parameters of encoder and decoder, in float64."""
    x = blobs.to_float(blobs.train[:6]).double().expand(1, 6, 12)

    class Doubled(Noise):
        def normal(self, *shape):
            return super().normal(*shape).double()

    vae = build(run_config(of(models, steps=3, rate=0.1, draws=2), [0], latent=2), 12)
    vae.double()
    params = list(vae.parameters())
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(p.shape, generator=generator).double() for p in params]

    def bound():
        return vae(x, Mode(Doubled([0], "t"))).negative_bound.sum()

    bound().backward()
    slope = sum((p.grad * d).sum() for p, d in zip(params, directions, strict=True))
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for param, direction in zip(params, directions, strict=True):
                param += step * direction
        values.append(bound().detach())
    torch.testing.assert_close(slope, (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=0)


def test_with_steps_of_no_length_it_is_vanilla(models, blobs):
    x = blobs.to_float(blobs.train[:6]).expand(1, 6, 12)
    vae = build(run_config(of(models, steps=2, rate=1e-30), [0], latent=2), 12)
    terms, expected = (f(vae, x, Mode(Noise([0], "t"))) for f in (vae.objective, elbo))
    torch.testing.assert_close(terms.latent_kl, expected.latent_kl)
    torch.testing.assert_close(
        terms.negative_bound, expected.reconstruction + expected.latent_kl
    )


def test_it_learns_and_a_seed_is_the_same_alone(models, blobs):
    config = run_config(of(models, steps=3), [0, 3], epochs=10, learning_rate=0.01)
    both = train(config, blobs)
    first, last = history_of(3, both)[[0, -1], 2]
    assert last < first - 1
    alone = train(config.model_copy(update={"seeds": [3]}), blobs)
    torch.testing.assert_close(
        history_of(3, both), history_of(3, alone), rtol=1e-4, atol=1e-4
    )
    steps = Evaluation(batch_size=50)
    before = evaluate(both.vae, config, blobs, steps)["negative_elbo"]
    after = evaluate(with_evaluated_encoder(both.vae), config, blobs, steps)
    assert (after["negative_elbo"] < before).all()
