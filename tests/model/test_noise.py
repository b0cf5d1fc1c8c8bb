"""Noise: what is drawn, and who shares a stream with whom."""

import math

import pytest
import torch

from comvae.model.noise import Noise


def test_draws_are_those_of_the_distributions_they_are_named_for():
    noise = Noise([0, 1], "t")
    normal, uniform = noise.normal("a", 100_000), noise.uniform("b", 0.5, 100_000)
    for s in (0, 1):
        assert normal[s].mean().item() == pytest.approx(0, abs=0.02)
        assert normal[s].std().item() == pytest.approx(1, abs=0.02)
        assert (normal[s].abs() > 2).float().mean().item() == pytest.approx(
            0.0455, abs=0.004
        )
        assert uniform[s].abs().max() <= 0.5
        assert uniform[s].std().item() == pytest.approx(0.5 / math.sqrt(3), abs=0.01)


@pytest.mark.parametrize("shape", [(32, 5), (7, 5), (3,)])
def test_several_draws_at_once_are_those_one_by_one(shape):
    at_once, singly = Noise([0, 4], "t"), Noise([0, 4], "t")
    for count in (1, 3, 2):
        expected = [singly.normal("a", *shape) for _ in range(count)]
        assert torch.equal(
            at_once.normals("a", count, *shape), torch.stack(expected, 1)
        )


def test_what_is_one_with_a_probability_is_one_that_often():
    p = torch.tensor([0.0, 0.2, 0.9, 1.0]).expand(2, 100_000, 4)
    drawn = Noise([0, 1], "t").bernoulli("a", p)
    assert set(drawn.unique().tolist()) == {0, 1} and (drawn[0] != drawn[1]).any()
    torch.testing.assert_close(drawn.mean(1), p[:, 0], rtol=0, atol=0.006)
    assert (drawn[..., 0] == 0).all() and (drawn[..., 3] == 1).all()


def test_each_seed_and_each_epoch_has_an_order_of_its_own():
    noise = Noise([0, 1], "training")
    first, second = noise.permutation("order", 50), noise.permutation("order", 50)
    for order in (*first, *second):
        assert torch.equal(order.sort().values, torch.arange(50))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert not torch.equal(noise.normal("a", 5), noise.normal("a", 5))


def test_models_share_data_order_and_latent_noise(models):
    one, two = Noise([1], "training"), Noise([1], "training")
    one.normal("weights", 1000)  # a Bayesian model draws weights, a plain one does not
    assert torch.equal(one.permutation("order", 50), two.permutation("order", 50))
    assert torch.equal(one.normal("latents", 9), two.normal("latents", 9))


def test_stages_and_purposes_have_streams_of_their_own():
    draws = [
        Noise([seed], stage).normal(purpose, 100)
        for seed in (0, 1)
        for stage in ("training", "evaluation")
        for purpose in ("weights", "latents")
    ]
    stacked = torch.stack(draws).squeeze(1)
    correlations = torch.corrcoef(stacked) - torch.eye(len(draws))
    assert correlations.abs().max() < 0.5
