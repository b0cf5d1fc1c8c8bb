"""Layers with a leading axis of seeds: plain, Bayesian and dynamic Bayesian.

Every parameter, buffer and activation starts with the axis of seeds, so that one
optimiser step moves all seeds of a block (paper, section 2.2; DESIGN, section 6).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.noise import Noise
from comvae.options import DynamicBayesian, StaticBayesian
from comvae.priors import LOG_SQRT_2PI, WeightPrior

NORM_EPS = 1e-5


@dataclass(frozen=True)
class Pass:
    """How one forward pass treats what is random and what depends on the batch."""

    noise: Noise
    sample_weights: bool = True  # else each weight at its mean
    batch_statistics: bool = False  # else batch norm with its running statistics
    update_statistics: bool = False  # move the running statistics towards the batch
    weight_kl: bool = True  # else the weight KL is not computed and comes out as zero


@dataclass(frozen=True)
class BayesianOptions:
    """What all Bayesian layers of a model share."""

    prior: WeightPrior
    weight_kl: str = "auto"
    over_images: str = "mean"


class Linear(nn.Module):
    """h = x W + b for each seed; initialised like `torch.nn.Linear`.

    W is (seeds, fan_in, fan_out), so that neither it nor its gradient is transposed.
    """

    def __init__(self, fan_in: int, fan_out: int, init: Noise) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias = nn.Parameter(init.uniform("weights", bound, fan_out))

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and a weight KL of zero."""
        return _affine(x, self.weight, self.bias), x.new_zeros(len(x))


class BayesianLinear(nn.Module):
    """h = x w + b with w = mu + softplus(rho) eps (Blundell et al. 2015)."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        init: Noise,
        options: StaticBayesian,
        bayesian: BayesianOptions,
    ) -> None:
        super().__init__()
        self.options, self.bayesian = options, bayesian
        bound = 1 / math.sqrt(fan_in)
        self.weight_mu = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias_mu = nn.Parameter(init.uniform("weights", bound, fan_out))
        self.weight_rho = nn.Parameter(
            torch.full_like(self.weight_mu, options.rho_init)
        )
        self.bias_rho = nn.Parameter(torch.full_like(self.bias_mu, options.rho_init))

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is that of the whole layer in nats: with one draw per image, its mean
        over the images.
        """
        images = x.shape[1] if self.options.draws == "image" else 1
        w, w_kl = self._draw("weight", images, how)
        b, b_kl = self._draw("bias", images, how)
        if w.shape[1] == 1:
            return _affine(x, w[:, 0], b[:, 0]), w_kl + b_kl
        return torch.einsum("sbio,sbi->sbo", w, x) + b, w_kl + b_kl

    def _draw(self, name: str, images: int, how: Pass) -> tuple[Tensor, Tensor]:
        mu = getattr(self, f"{name}_mu").unsqueeze(1)
        if not how.sample_weights:
            return mu, mu.new_zeros(len(mu))
        sigma = F.softplus(getattr(self, f"{name}_rho")).unsqueeze(1)
        eps = how.noise.normal("weights", images, *mu.shape[2:])
        w = mu + sigma * eps
        if not how.weight_kl:
            return w, mu.new_zeros(len(mu))
        return w, weight_kl(self.bayesian, mu, sigma, eps, w).flatten(1).sum(1) / images


class DynamicBayesianLinear(nn.Module):
    """h = w x + b with weights drawn for each image from maps of x (section 2.2).

    mu_w, rho_w, mu_b and rho_b are bias-free linear maps of the layer's input. The
    weights of all images are kept with the batch as the last axis, (seeds, out, in,
    batch), so that batch norm runs along contiguous memory.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        init: Noise,
        options: DynamicBayesian,
        bayesian: BayesianOptions,
        batch_norm: bool,
        momentum: float,
    ) -> None:
        super().__init__()
        self.bayesian = bayesian
        self.fan_in, self.fan_out = fan_in, fan_out
        mu_scale = options.mu_scale or 1 / math.sqrt(fan_in)

        def weight_map(size: int, scale: float, shift: float) -> nn.Module:
            if batch_norm:
                return NormalisedMap(fan_in, size, init, scale, shift, momentum)
            return ScaledMap(fan_in, size, init, scale, shift, options)

        rho = options.rho_scale, options.rho_shift
        self.weight_mu = weight_map(fan_out * fan_in, mu_scale, options.mu_shift)
        self.weight_rho = weight_map(fan_out * fan_in, *rho)
        self.bias_mu = weight_map(fan_out, mu_scale, options.mu_shift)
        self.bias_rho = weight_map(fan_out, *rho)

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is the mean (or sum) over the images of each image's own weight KL.
        """
        columns = x.transpose(1, 2).contiguous()  # (seeds, fan_in, batch)
        w, w_kl = self._draw("weight", columns, how, self.fan_out, self.fan_in)
        b, b_kl = self._draw("bias", columns, how, self.fan_out)
        h = (w * columns.unsqueeze(1)).sum(2) + b
        return h.transpose(1, 2), w_kl + b_kl

    def _draw(
        self, name: str, columns: Tensor, how: Pass, *shape: int
    ) -> tuple[Tensor, Tensor]:
        seeds, batch = columns.shape[0], columns.shape[2]
        mu = getattr(self, f"{name}_mu")(columns, how).view(seeds, *shape, batch)
        if not how.sample_weights:
            return mu, mu.new_zeros(seeds)
        rho = getattr(self, f"{name}_rho")(columns, how).view(seeds, *shape, batch)
        sigma = F.softplus(rho)
        eps = how.noise.normal("weights", *shape, batch)
        w = torch.addcmul(mu, sigma, eps)
        if not how.weight_kl:
            return w, mu.new_zeros(seeds)
        kl = weight_kl(self.bayesian, mu, sigma, eps, w).flatten(1).sum(1)
        return w, kl / batch if self.bayesian.over_images == "mean" else kl


class NormalisedMap(nn.Module):
    """A bias-free linear map, then batch norm over the images (section 2.2.3)."""

    def __init__(
        self,
        fan_in: int,
        size: int,
        init: Noise,
        gamma: float,
        beta: float,
        momentum: float,
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        self.map = nn.Parameter(init.uniform("weights", bound, size, fan_in))
        self.norm = BatchNorm(len(self.map), size, gamma, beta, momentum, self.map)

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        return self.norm(torch.bmm(self.map, columns), how)


class ScaledMap(nn.Module):
    """shift + scale M x without batch norm."""

    def __init__(
        self,
        fan_in: int,
        size: int,
        init: Noise,
        scale: float,
        shift: float,
        options: DynamicBayesian,
    ) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift
        self.normalise_input = options.normalise_input
        bound = 1 / math.sqrt(fan_in)
        self.map = nn.Parameter(init.uniform("weights", bound, size, fan_in))

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        if self.normalise_input:
            # eps: ReLU can leave a hidden vector of zeros, which has no direction
            power = columns.square().mean(1, keepdim=True) + NORM_EPS
            columns = columns * power.rsqrt()
        return self.shift + self.scale * torch.bmm(self.map, columns)


class BatchNorm(nn.Module):
    """Batch norm of each feature of each seed over the images (section 2.2.3).

    Like `torch.nn.BatchNorm1d`: the batch's biased variance normalises, its unbiased
    variance enters the running statistics.
    """

    def __init__(
        self,
        seeds: int,
        features: int,
        gamma: float,
        beta: float,
        momentum: float,
        like: Tensor,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        full = like.new_full
        self.gamma = nn.Parameter(full((seeds, features), gamma))
        self.beta = nn.Parameter(full((seeds, features), beta))
        self.register_buffer("running_mean", full((seeds, features), 0.0))
        self.register_buffer("running_var", full((seeds, features), 1.0))

    def forward(self, columns: Tensor, how: Pass) -> Tensor:
        """(seeds, features, batch) -> the same shape, normalised over the batch."""
        seeds, features, batch = columns.shape
        keep_running = how.batch_statistics and not how.update_statistics
        running = (self.running_mean, self.running_var)
        out = F.batch_norm(
            columns.reshape(1, seeds * features, batch),
            *(None if keep_running else buffer.view(-1) for buffer in running),
            self.gamma.view(-1),
            self.beta.view(-1),
            training=how.batch_statistics,
            momentum=self.momentum,
            eps=NORM_EPS,
        )
        out = out.view(seeds, features, batch)
        if out.requires_grad:
            # a transposed gradient takes another kernel, and rounds otherwise, where
            # there is one seed alone
            out.register_hook(Tensor.contiguous)
        return out


def weight_kl(
    bayesian: BayesianOptions, mu: Tensor, sigma: Tensor, eps: Tensor, w: Tensor
) -> Tensor:
    """KL(q(w) to p(w)) of each weight in nats, where w = mu + sigma eps.

    Closed form where the prior has one; else the one-sample estimate
    log q(w) - log p(w) with the very weights that the data term uses.
    """
    if bayesian.weight_kl == "auto" and hasattr(bayesian.prior, "kl"):
        return bayesian.prior.kl(mu, sigma).expand_as(w)
    log_q = (-0.5 * eps * eps - LOG_SQRT_2PI) - sigma.log()
    return log_q - bayesian.prior.log_prob(w)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight)
