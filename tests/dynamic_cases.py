"""Cases for the kernels of a DBNN layer, in C and in Triton, and what they give."""

import itertools

import torch

from comvae.kernels import BatchNormalised, Scaled
from comvae.priors import GaussianPrior, ScaleMixturePrior
from comvae.weight_kl import WeightKL

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
