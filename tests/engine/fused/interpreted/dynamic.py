"""The kernels of a DBNN layer against PyTorch (run by test_kernels_interpreted)."""

import pytest
import torch

from comvae.engine.fused import (
    BatchNormalised,
    Scaled,
    dynamic_kernel,
    dynamic_linear,
    dynamic_linear_reference,
)
from tests.engine.fused.cases import (
    DRAWS,
    KLS,
    case,
    check_extreme_rho,
    check_no_ink,
    results,
)


@pytest.mark.parametrize("norm", ["batch", "scale"])
@pytest.mark.parametrize("kl,draws", DRAWS)
def test_outputs_and_gradients_are_those_of_pytorch(kl, draws, norm, monkeypatch):
    # three tiles of the inputs, two chunks of the outputs, two seeds, all ragged
    monkeypatch.setattr(dynamic_kernel, "TILE", 8 * 2)
    monkeypatch.setattr(dynamic_kernel, "OUTPUTS", 2)
    problem = case(draws, norm, seeds=2, fan_out=3, fan_in=5, batch=6)
    plain = results(dynamic_linear_reference, problem, norm, kl)
    fused = results(dynamic_linear, problem, norm, kl)
    for expected, found in zip(plain, fused, strict=True):
        # float64, but for the numbers of the prior: arguments of a kernel are float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kl,draws", [("closed", "output"), ("mixture", "weight")])
def test_float32_is_as_good_as_that_of_pytorch(kl, draws):
    exact = case(draws, "batch", seeds=1, fan_out=2, fan_in=9, batch=16)
    single = {
        name: [t.float() for t in value] if name == "running" else value.float()
        for name, value in exact.items()
    }
    expected = results(dynamic_linear_reference, exact, "batch", kl)
    found = results(dynamic_linear, single, "batch", kl)
    for right, ours in zip(expected, found, strict=True):
        scale = right.abs().max().item()
        torch.testing.assert_close(ours.double(), right, rtol=0, atol=1e-6 * scale)


def test_gradients_are_numerically_right():
    problem = case("weight", "batch", seeds=1, fan_out=1, fan_in=2, batch=3)

    def outputs(maps, inputs, gamma, beta):
        how = BatchNormalised(gamma, beta)
        return dynamic_linear(maps, inputs, problem["eps"], how, KLS["closed"])

    arguments = [
        problem[name].requires_grad_() for name in ("maps", "inputs", "scale", "shift")
    ]
    # steps large enough that the float32 numbers of the prior do not show
    assert torch.autograd.gradcheck(outputs, arguments, eps=1e-4, atol=1e-4, rtol=1e-4)


def test_large_rho_and_tiny_sigma_keep_their_digits():
    check_extreme_rho()


def test_an_image_without_ink_has_no_noise_and_finite_gradients():
    check_no_ink()


def test_inputs_that_need_no_gradient_get_none():
    problem = case("output", "batch", seeds=1, fan_out=2, fan_in=3, batch=4)
    maps = problem["maps"].requires_grad_()
    norm = BatchNormalised(problem["scale"], problem["shift"])
    h, _ = dynamic_linear(maps, problem["inputs"], problem["eps"], norm, None)
    h.sum().backward()
    assert problem["inputs"].grad is None and maps.grad is not None


def test_what_does_not_fit_is_refused():
    problem = case("output", "scale", seeds=1, fan_out=2, fan_in=3, batch=4)
    norm = Scaled(problem["scale"], problem["shift"])
    maps, inputs, eps = problem["maps"], problem["inputs"], problem["eps"]
    for wrong, name in (
        ((maps, inputs[:, :2], eps, norm, None), "inputs"),
        ((maps, inputs, eps[:, :1], norm, None), "eps"),
        ((maps, inputs.float(), eps, norm, None), "inputs"),
        ((maps, inputs, eps, Scaled(norm.scale[1:], norm.shift), None), "scale"),
        ((maps, inputs, eps, norm, KLS["mixture"]), "needs weights"),
        ((maps.expand(-1, -1, -1, -1, 4), inputs, eps, norm, object()), "prior"),
        ((torch.zeros(1, 2, 1, 1, 4097), inputs, eps, norm, None), "4096"),
    ):
        with pytest.raises((ValueError, AttributeError), match=name):
            dynamic_linear(*wrong)
