"""The Triton kernels of a DBNN layer against the layer of `comvae.model` (run by
test_interpreted)."""

import copy

import pytest
import torch

from comvae.engine.fused import triton_layer
from comvae.engine.fused.formula import Formula
from comvae.engine.fused.layer import FusedForward, dynamic_linear
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from tests.engine.fused.cases import KLS, check_extreme_rho, layer_of, results

SEEDS = [3, 4]


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kl", KLS)
def test_outputs_and_gradients_are_those_of_pytorch(kl, batch_norm, monkeypatch):
    # three tiles of the inputs, two chunks of the outputs, two seeds, all ragged
    monkeypatch.setattr(triton_layer, "TILE", 8 * 2)
    monkeypatch.setattr(triton_layer, "OUTPUTS", 2)
    layer = layer_of(kl, batch_norm, SEEDS, 3, 4, torch.float64)
    plain = results(copy.deepcopy(layer), kl, SEEDS, 6, fused=False)
    fused = results(layer, kl, SEEDS, 6, fused=True)
    for expected, found in zip(plain, fused, strict=True):
        # float64, but for the numbers of the prior: arguments of a kernel are float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kl", ["closed", "mixture"])
def test_float32_is_as_good_as_that_of_pytorch(kl):
    layer = layer_of(kl, True, [3], 2, 8)
    expected = results(copy.deepcopy(layer).double(), kl, [3], 16, fused=False)
    for right, ours in zip(
        expected, results(layer, kl, [3], 16, fused=True), strict=True
    ):
        scale = right.abs().max().item()
        torch.testing.assert_close(ours.double(), right, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("rho", [-60.0, -12.0, 15.0, 20.5])
def test_large_rho_and_tiny_sigma_keep_their_digits(rho):
    check_extreme_rho(rho)


def test_inputs_that_need_no_gradient_get_none():
    layer = layer_of("none", True, [3], 2, 3)
    layer.forward = FusedForward(layer, low_rank=False)
    x = torch.ones(1, 4, 3)
    h, _ = layer(x, Mode(Noise([3], "t"), batch_statistics=True, weight_kl=False))
    h.sum().backward()
    assert x.grad is None and layer.maps.map.grad is not None


@pytest.mark.parametrize(
    "name,shape",
    [
        ("inputs", (1, 2, 4)),
        ("eps", (1, 1, 4)),
        ("scale", (11,)),
        ("shift", (1, 12)),
        ("maps", (1, 2, 1, 1, 4097)),
    ],
)
def test_what_does_not_fit_is_refused(name, shape):
    fitting = {
        "maps": torch.zeros(1, 2, 2, 3, 4),
        "inputs": torch.zeros(1, 3, 4),
        "eps": torch.zeros(1, 2, 4),
        "scale": torch.zeros(12),
        "shift": torch.zeros(12),
    }
    dynamic_linear(Formula(), **fitting, running=None)
    wrong = fitting | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match="4096" if name == "maps" else "expected"):
        dynamic_linear(Formula(), **wrong, running=None)
