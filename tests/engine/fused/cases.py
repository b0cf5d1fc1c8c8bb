"""Cases for the kernels of a DBNN layer, in C and in Triton, and what they give."""

import itertools

import torch

from comvae.engine.fused import (
    BatchNormalised,
    Scaled,
    dynamic_linear,
    dynamic_linear_reference,
)
from comvae.model.priors import GaussianPrior, ScaleMixturePrior
from comvae.model.weight_kl import WeightKL

KLS = {
    "none": None,
    "mixture": WeightKL(ScaleMixturePrior(pi=0.3, slab=0.8, spike=0.2)),
    "closed": WeightKL(GaussianPrior(scale=0.7)),
    "sampled": WeightKL(GaussianPrior(scale=0.7), "sampled"),
}
DRAWS = [
    *itertools.product(["none", "closed"], ["output"]),
    *itertools.product(["none", "mixture", "closed", "sampled"], ["weight"]),
]


def case(draws, norm, seeds, fan_out, fan_in, batch, dtype=torch.float64) -> dict:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    features = 2 * fan_out * fan_in
    shape = (seeds, features) if norm == "batch" else (features,)
    return {
        "maps": normal(seeds, 2, fan_out, fan_in, batch),
        "inputs": normal(seeds, fan_in, batch),
        "eps": normal(seeds, fan_out, *[fan_in] * (draws == "weight"), batch),
        "scale": normal(*shape) + 1,
        "shift": normal(*shape) - 1,
        "running": [normal(*shape), normal(*shape).abs()],
        "by_h": normal(seeds, fan_out, batch),
        "by_nats": normal(seeds),
    }


def results(function, case: dict, norm: str, kl: str) -> list[torch.Tensor]:
    """Outputs, gradients and running statistics."""
    maps, inputs, scale, shift = (
        case[name].clone().requires_grad_()
        for name in ("maps", "inputs", "scale", "shift")
    )
    running = [buffer.clone() for buffer in case["running"]]
    if norm == "batch":
        how = BatchNormalised(scale, shift, *running, momentum=0.3)
    else:
        how = Scaled(scale.detach(), shift.detach())
    h, nats = function(maps, inputs, case["eps"], how, KLS[kl])
    ((h * case["by_h"]).sum() + (nats * case["by_nats"]).sum()).backward()
    trained = [scale.grad, shift.grad, *running] if norm == "batch" else []
    return [h, nats, maps.grad, inputs.grad, *trained]


def check_extreme_rho():
    """softplus is the identity above 20, and about exp(rho) far below zero."""
    rho = torch.tensor([-60.0, -30.0, -12.0, -3.0, -1.0, 0.0, 0.3, 15.0, 20.5, 60.0])
    maps = torch.stack([torch.zeros_like(rho), rho]).view(1, 2, 1, len(rho), 1)
    maps.requires_grad_()
    same = Scaled(torch.ones(2 * len(rho)), torch.zeros(2 * len(rho)))
    exact = Scaled(same.scale.double(), same.shift.double())
    for one in torch.eye(len(rho)):
        inputs, eps = one.view(1, -1, 1), torch.ones(1, 1, len(rho), 1)
        h, nats = dynamic_linear(maps, inputs, eps, same, KLS["closed"])
        expected, nats_expected = dynamic_linear_reference(
            maps.double(), inputs.double(), eps.double(), exact, KLS["closed"]
        )
        torch.testing.assert_close(h.double(), expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(nats.double(), nats_expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(nats.sum(), maps)
    (right,) = torch.autograd.grad(nats_expected.sum(), maps)
    torch.testing.assert_close(gradient, right, rtol=1e-6, atol=1e-9)


def check_no_ink():
    """An image without ink has no noise, and its gradients are finite."""
    maps = torch.ones(1, 2, 1, 3, 2, requires_grad=True)
    inputs = torch.zeros(1, 3, 2, requires_grad=True)
    norm = Scaled(torch.ones(6), torch.zeros(6))
    h, _ = dynamic_linear(maps, inputs, torch.ones(1, 1, 2), norm, None)
    h.sum().backward()
    assert (h == 0).all() and (maps.grad == 0).all()
    torch.testing.assert_close(inputs.grad, torch.ones_like(inputs))
