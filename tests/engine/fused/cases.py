"""Cases for the kernels of a DBNN layer, in C and in Triton, and what they give."""

import torch

from comvae.engine.fused.layer import FusedForward
from comvae.model.layers import DynamicBayesianLinear
from comvae.model.maps import BatchNorm
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import DynamicBayesian, ModelOptions
from comvae.model.priors import GaussianPrior, ScaleMixturePrior

MIXTURE = ScaleMixturePrior(pi=0.3, slab=0.8, spike=0.2)
KLS = {  # prior and estimate; a draw for each weight where the KL needs the weights
    "none": (MIXTURE, "auto"),
    "mixture": (MIXTURE, "auto"),
    "closed": (GaussianPrior(scale=0.7), "auto"),
    "sampled": (GaussianPrior(scale=0.7), "sampled"),
}


def layer_of(
    kl: str,
    batch_norm: bool,
    seeds: list[int],
    fan_out: int,
    fan_in: int,
    dtype: torch.dtype = torch.float32,
    **start: float,
) -> DynamicBayesianLinear:
    """A layer whose every scale, shift and statistic is its own."""
    prior, estimate = KLS[kl]
    options = ModelOptions(
        title="any",
        hidden_layer="dynamic",
        weight_prior=prior,
        weight_kl=estimate,
        dynamic=DynamicBayesian(**start),
        batch_norm_maps=batch_norm,
        batch_norm_momentum=0.3,
    )
    layer = DynamicBayesianLinear(fan_in, fan_out, options, Noise(seeds, "init"))
    noise = Noise(seeds, "start")
    for norm in (m for m in layer.modules() if isinstance(m, BatchNorm)):
        features = norm.gamma.shape[1]
        norm.gamma.data = 1 + noise.normal("gamma", features)
        norm.beta.data = noise.normal("beta", features) - 1
        norm.running_mean.copy_(noise.normal("mean", features))
        norm.running_var.copy_(noise.normal("var", features).abs())
    return layer.to(dtype)


def results(
    layer: DynamicBayesianLinear, kl: str, seeds: list[int], batch: int, fused: bool
) -> list[torch.Tensor]:
    """Outputs, gradients and running statistics of one step."""
    if fused:
        layer.forward = FusedForward(layer, low_rank=False)
    dtype, device = layer.maps.map.dtype, layer.maps.map.device
    noise = Noise(seeds, "step", device)
    x = noise.normal("x", batch, layer.fan_in).to(dtype).requires_grad_()
    mode = Mode(
        noise, batch_statistics=True, update_statistics=True, weight_kl=kl != "none"
    )
    h, nats = layer(x, mode)
    by_h = noise.normal("by_h", *h.shape[1:]).to(dtype)
    by_nats = noise.normal("by_nats", 1)[:, 0].to(dtype)
    ((h * by_h).sum() + (nats * by_nats).sum()).backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    return [h, nats, x.grad, *gradients, *layer.buffers()]


def check_extreme_rho(rho: float) -> None:
    """softplus is the identity above 20, and about exp(rho) far below zero."""
    found = [
        results(
            layer_of("closed", False, [0], 2, 5, dtype, rho_shift=rho, rho_scale=0.01),
            kl="closed",
            seeds=[0],
            batch=3,
            fused=fused,
        )
        for dtype, fused in ((torch.float32, True), (torch.float64, False))
    ]
    for ours, right in zip(*found, strict=True):
        scale = right.abs().max().item()
        torch.testing.assert_close(ours.double(), right, rtol=1e-5, atol=2e-6 * scale)
