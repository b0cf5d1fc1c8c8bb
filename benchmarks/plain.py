"""The models of Table 1 as plain PyTorch modules of one seed (docs/paper.md).

Written as one would without this repository: `nn.Linear`, `nn.BatchNorm1d`, and the
formulas of the paper. Sizes, initial values and loss are those of `comvae`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.options import ModelOptions
from comvae.study.settings import RunConfig

SIGMA_INIT = -5.0  # initial rho of a Bayesian layer
SLAB, SPIKE = 1.0, math.exp(-6)


class PlainVAE(nn.Module):
    """One seed of one model: (batch, pixels) in [0, 1] -> its three terms in nats."""

    def __init__(
        self, pixels: int, hidden: int, latent: int, options: ModelOptions
    ) -> None:
        super().__init__()
        self.hidden = _layer(options.hidden_layer, pixels, hidden, options)
        norm = options.batch_norm_hidden
        self.norm = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.mean = _layer(options.latent_layer, hidden, latent, options)
        self.scale = _layer(options.latent_layer, hidden, latent, options)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction and latent KL, mean over the images, and weight KL."""
        h, hidden_kl = self.hidden(x)
        h = F.relu(self.norm(h))
        mean, mean_kl = self.mean(h)
        scale, scale_kl = self.scale(h)
        sigma = F.softplus(scale)
        logits = self.decoder(mean + sigma * torch.randn_like(sigma))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        latent_kl = gaussian_kl(mean, sigma).sum()
        weight_kl = hidden_kl + mean_kl + scale_kl
        return reconstruction / len(x), latent_kl / len(x), weight_kl


class PlainLinear(nn.Linear):
    """`nn.Linear`, with a weight KL of zero."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, fan_in) -> (batch, fan_out) and zero."""
        return super().forward(x), x.new_zeros(())


class BayesianLinear(nn.Module):
    """Bayes by Backprop (Blundell et al. 2015): one draw of the weights per batch."""

    def __init__(self, fan_in: int, fan_out: int, prior: str) -> None:
        super().__init__()
        self.prior = prior
        bound = 1 / math.sqrt(fan_in)
        self.weight_mu = nn.Parameter(torch.empty(fan_out, fan_in))
        self.weight_rho = nn.Parameter(torch.full((fan_out, fan_in), SIGMA_INIT))
        self.bias_mu = nn.Parameter(torch.empty(fan_out))
        self.bias_rho = nn.Parameter(torch.full((fan_out,), SIGMA_INIT))
        nn.init.uniform_(self.weight_mu, -bound, bound)
        nn.init.uniform_(self.bias_mu, -bound, bound)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, fan_in) -> (batch, fan_out) and the weight KL of the layer."""
        weight, weight_kl = _draw(self.weight_mu, self.weight_rho, self.prior)
        bias, bias_kl = _draw(self.bias_mu, self.bias_rho, self.prior)
        return F.linear(x, weight, bias), weight_kl + bias_kl


class DynamicLinear(nn.Module):
    """A DBNN layer: the weights of each image come from maps of it (section 2.2)."""

    def __init__(self, fan_in: int, fan_out: int, prior: str, batch_norm: bool) -> None:
        super().__init__()
        self.prior = prior
        self.shape = (fan_out, fan_in)
        make = NormalisedMap if batch_norm else ScaledMap
        mu, rho = (1 / math.sqrt(fan_in), 0.0), (0.1, -3.0)
        self.weight_mu = make(fan_in, fan_out * fan_in, *mu)
        self.weight_rho = make(fan_in, fan_out * fan_in, *rho)
        self.bias_mu = make(fan_in, fan_out, *mu)
        self.bias_rho = make(fan_in, fan_out, *rho)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, fan_in) -> (batch, fan_out) and the mean weight KL of the images."""
        weight, weight_kl = _draw(self.weight_mu(x), self.weight_rho(x), self.prior)
        bias, bias_kl = _draw(self.bias_mu(x), self.bias_rho(x), self.prior)
        h = torch.einsum("boi,bi->bo", weight.view(-1, *self.shape), x) + bias
        return h, (weight_kl + bias_kl) / len(x)


class NormalisedMap(nn.Sequential):
    """A bias-free linear map, then batch norm."""

    def __init__(self, fan_in: int, size: int, gamma: float, beta: float) -> None:
        super().__init__(nn.Linear(fan_in, size, bias=False), nn.BatchNorm1d(size))
        nn.init.constant_(self[1].weight, gamma)
        nn.init.constant_(self[1].bias, beta)


class ScaledMap(nn.Linear):
    """shift + scale M x, where x has a root mean square of 1."""

    def __init__(self, fan_in: int, size: int, scale: float, shift: float) -> None:
        super().__init__(fan_in, size, bias=False)
        self.gain, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in) -> (batch, size)."""
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)
        return self.shift + self.gain * super().forward(x)


def plain_vae(config: RunConfig, pixels: int) -> PlainVAE:
    """The plain model of a config; it knows the readings that models.yaml uses."""
    training = config.training
    return PlainVAE(pixels, training.hidden, training.latent, config.options)


def weights_of_minibatches(scheme: str, minibatches: int) -> list[float]:
    """The weight pi_i of the weight KL in each minibatch of an epoch."""
    if scheme == "blundell":
        normaliser = 1 - 2.0 ** -min(minibatches, 60)
        return [2.0**-i / normaliser for i in range(1, minibatches + 1)]
    return [1 / minibatches if scheme == "uniform" else 1.0] * minibatches


def gaussian_kl(mean: Tensor, sigma: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) to N(0, 1)) of each element in nats."""
    return 0.5 * (mean**2 + sigma**2 - 1) - sigma.log()


def log_normal(w: Tensor, mean: Tensor | float, sigma: Tensor) -> Tensor:
    """log N(w; mean, sigma^2), elementwise."""
    return -0.5 * ((w - mean) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)


def log_mixture(w: Tensor) -> Tensor:
    """Log density of the scale mixture prior, elementwise."""
    slab = log_normal(w, 0.0, w.new_tensor(SLAB))
    spike = log_normal(w, 0.0, w.new_tensor(SPIKE))
    return torch.logaddexp(slab, spike) - math.log(2)


def _draw(mu: Tensor, rho: Tensor, prior: str) -> tuple[Tensor, Tensor]:
    """Weights drawn from N(mu, softplus(rho)^2), and their KL to the prior, summed."""
    sigma = F.softplus(rho)
    w = mu + sigma * torch.randn_like(sigma)
    if prior == "gaussian":
        return w, gaussian_kl(mu, sigma).sum()
    return w, (log_normal(w, mu, sigma) - log_mixture(w)).sum()


def _layer(kind: str, fan_in: int, fan_out: int, options: ModelOptions) -> nn.Module:
    if kind == "linear":
        return PlainLinear(fan_in, fan_out)
    prior = options.weight_prior.kind
    if kind == "bayesian":
        return BayesianLinear(fan_in, fan_out, prior)
    return DynamicLinear(fan_in, fan_out, prior, options.batch_norm_maps)
