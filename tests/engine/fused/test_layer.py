"""What the fused kernels are held to is the layer of `comvae.model.layers`."""

import pytest
import torch

from comvae.engine.fused import (
    BatchNormalised,
    Scaled,
    dynamic_linear_reference,
)
from comvae.model import dynamic
from comvae.model.layers import NORM_EPS, DynamicBayesianLinear, Pass
from comvae.model.noise import Noise
from comvae.model.options import DynamicBayesian
from comvae.model.priors import GaussianPrior, ScaleMixturePrior
from comvae.model.weight_kl import WeightKL

SEEDS, IN, OUT, BATCH = [3, 4], 5, 3, 6


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(
    "kl,with_kl",
    [
        (WeightKL(ScaleMixturePrior(), over_images="sum"), True),
        (WeightKL(ScaleMixturePrior(), over_images="sum"), False),
        (WeightKL(GaussianPrior(), over_images="sum"), True),
        (WeightKL(GaussianPrior(scale=0.3), "sampled", "sum"), True),
    ],
)
def test_the_reference_is_the_layer(kl, with_kl, batch_norm):
    options = DynamicBayesian(normalise_input=False)
    layer, again = (
        DynamicBayesianLinear(IN, OUT, Noise(SEEDS, "i"), options, kl, batch_norm, 0.3)
        for _ in range(2)
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(len(SEEDS), BATCH, IN, generator=generator)
    by_h = torch.randn(len(SEEDS), BATCH, OUT, generator=generator)
    how = Pass(Noise(SEEDS, "t"), True, True, True, weight_kl=with_kl)
    h, nats = layer(x, how)
    ((h * by_h).sum() + nats.sum()).backward()

    kl = kl if with_kl else None
    each = () if kl is None or kl.closed_form else (IN + 1,)
    eps = Noise(SEEDS, "t").normal("weights", OUT, *each, BATCH)
    if batch_norm:
        own = again.maps.norm
        norm = BatchNormalised(
            own.gamma, own.beta, own.running_mean, own.running_var, own.momentum
        )
    else:
        norm = Scaled(again.maps.scale, again.maps.shift)
    columns = x.mT.contiguous()
    inputs = torch.cat([columns, torch.ones_like(columns[:, :1])], 1)
    maps = torch.bmm(again.maps.map, columns)
    maps = maps.view(len(SEEDS), 2, OUT, IN + 1, BATCH)
    same, same_nats = dynamic_linear_reference(maps, inputs, eps, norm, kl)
    ((same.mT * by_h).sum() + same_nats.sum()).backward()

    torch.testing.assert_close(same.mT, h)
    torch.testing.assert_close(same_nats, nats)
    parameters = zip(layer.parameters(), again.parameters(), strict=True)
    for theirs, ours in parameters:
        size = theirs.grad.abs().max().item()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5 * size)
    for theirs, ours in zip(layer.buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_batch_norm_has_the_epsilon_of_the_layers():
    assert dynamic.NORM_EPS == NORM_EPS
