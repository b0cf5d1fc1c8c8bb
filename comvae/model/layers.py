"""Layers with a leading axis of seeds: plain, Bayesian and dynamic Bayesian.

Every parameter, buffer and activation starts with the axis of seeds, so that one
optimiser step moves all seeds of a block (paper, section 2.2). A layer gives its output
and its weight KL, KL(q(w) to p(w)) in nats.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.maps import NormalisedMap, ScaledMap, per_weight
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.priors import LOG_SQRT_2PI


class Linear(nn.Module):
    """h = x W + b for each seed; initialised like `torch.nn.Linear`.

    W is (seeds, fan_in, fan_out), so that neither it nor its gradient is transposed.
    """

    random_weights = 0  # number of weights of one seed that are drawn

    def __init__(
        self, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias = nn.Parameter(init.uniform("weights", bound, fan_out))
        no_kl = torch.zeros(len(init.seeds))
        self.register_buffer("no_kl", no_kl, persistent=False)

    def forward(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and a weight KL of zero."""
        return self.affine(x), self.no_kl

    def affine(self, x: Tensor) -> Tensor:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out)."""
        return _affine(x, self.weight, self.bias)

    @staticmethod
    def size(fan_in: int, fan_out: int, options: ModelOptions) -> int:
        """Number of parameters of one seed."""
        return (fan_in + 1) * fan_out


class BayesianLinear(nn.Module):
    """h = x w + b with w = mu + softplus(rho) eps (Blundell et al. 2015)."""

    def __init__(
        self, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
    ) -> None:
        """Without weight noise there is no rho."""
        super().__init__()
        self.options = options
        self.random_weights = (fan_in + 1) * fan_out if options.weight_noise else 0
        bound = 1 / math.sqrt(fan_in)
        self.weight_mu = nn.Parameter(init.uniform("weights", bound, fan_in, fan_out))
        self.bias_mu = nn.Parameter(init.uniform("weights", bound, fan_out))
        if options.weight_noise:
            rho = options.bayesian.rho_init
            self.weight_rho = nn.Parameter(torch.full_like(self.weight_mu, rho))
            self.bias_rho = nn.Parameter(torch.full_like(self.bias_mu, rho))

    def forward(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is that of the whole layer; with one draw per image, its mean over the
        images.
        """
        seeds, batch, _ = x.shape
        if not (mode.sample_weights and self.options.weight_noise):
            return _affine(x, self.weight_mu, self.bias_mu), x.new_zeros(seeds)
        draws = batch if self.options.bayesian.draws == "image" else 1
        w, w_kl = self._draw(self.weight_mu, self.weight_rho, draws, mode)
        b, b_kl = self._draw(self.bias_mu, self.bias_rho, draws, mode)
        kl = (w_kl + b_kl) / draws
        if draws == 1:
            return _affine(x, w[:, 0], b[:, 0]), kl
        return torch.einsum("sbio,sbi->sbo", w, x) + b, kl

    def _draw(
        self, mu: Tensor, rho: Tensor, draws: int, mode: Mode
    ) -> tuple[Tensor, Tensor]:
        """Weights (seeds, draws, ...) and the sum of their KL over the draws."""
        mu, sigma = mu.unsqueeze(1), F.softplus(rho).unsqueeze(1)
        eps = mode.noise.normal("weights", draws, *mu.shape[2:])
        w = mu + sigma * eps
        if not mode.weight_kl:
            return w, mu.new_zeros(len(mu))
        return w, weight_kl(self.options, mu, sigma, eps, w)

    @staticmethod
    def size(fan_in: int, fan_out: int, options: ModelOptions) -> int:
        """Number of parameters of one seed."""
        return per_weight(options) * (fan_in + 1) * fan_out


class DynamicBayesianLinear(nn.Module):
    """h = w x + b with weights drawn anew for each image (section 2.2).

    Four bias-free linear maps of the layer's input give their distributions,

        mu_w = W_{w,mu} x         mu_b = W_{b,mu} x
        rho_w = W_{w,rho} x       rho_b = W_{b,rho} x
        w = mu_w + softplus(rho_w) eps
        b = mu_b + softplus(rho_b) eps

    `maps` stacks them: mu, then rho, of each output's weights and, last, of its bias.
    With `dynamic.rank` r each map is a product, fan_in -> r -> outputs, whose first
    factor an output's weights and its bias share. The batch is the last axis
    throughout, so that batch norm runs along contiguous memory.
    """

    def __init__(
        self, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
    ) -> None:
        """Without weight noise there are no maps to rho."""
        super().__init__()
        self.options, self.fan_in, self.fan_out = options, fan_in, fan_out
        weights = fan_out * (fan_in + 1)
        self.random_weights = weights if options.weight_noise else 0
        start = options.dynamic
        scale = [start.mu_scale or 1 / math.sqrt(fan_in), start.rho_scale]
        shift = [start.mu_shift, start.rho_shift]
        scale, shift = (
            torch.tensor(values[: per_weight(options)]).repeat_interleave(weights)
            for values in (scale, shift)
        )
        kind = NormalisedMap if options.batch_norm_maps else ScaledMap
        self.maps = kind(fan_in, scale, shift, options, init)

    def forward(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """(seeds, batch, fan_in) -> (seeds, batch, fan_out) and the weight KL (seeds,).

        The KL is the mean (or sum) over the images of each image's own weight KL. Where
        it needs no weights, h is drawn without them, from the same distribution.
        """
        columns = x.transpose(1, 2)
        mu, rho = self.mu_and_rho(columns, mode)
        if not self.is_random(mode):
            return _applied(mu, columns).transpose(1, 2), x.new_zeros(len(x))
        eps = mode.noise.normal("weights", *self.noise_shape(x.shape[1], mode))
        sigma = F.softplus(rho)
        if eps.dim() == 4:
            w = mu + sigma * eps
            h = _applied(w, columns)
        else:
            w, h = None, _applied(mu, columns) + _spread(sigma, columns) * eps
        kl = x.new_zeros(len(x))
        if mode.weight_kl:
            kl = weight_kl(self.options, mu, sigma, eps, w)
        return h.transpose(1, 2), self.over_images(kl, x.shape[1])

    def mu_and_rho(self, columns: Tensor, mode: Mode) -> tuple[Tensor, Tensor | None]:
        """mu_w and mu_b, rho_w and rho_b: (seeds, fan_out, fan_in + 1, batch) each, for
        inputs (seeds, fan_in, batch); no rho without weight noise."""
        stacked = self.maps(columns, mode)
        shape = len(columns), -1, self.fan_out, self.fan_in + 1, columns.shape[2]
        mu, *rho = stacked.view(shape).unbind(1)
        return mu, rho[0] if rho else None

    def is_random(self, mode: Mode) -> bool:
        """Whether the weights are drawn, not at their means."""
        return mode.sample_weights and self.options.weight_noise

    def noise_shape(self, batch: int, mode: Mode) -> tuple[int, ...]:
        """The shape of a seed's noise: a number for each weight of each image where the
        KL needs the weights, else for each output.

        Since no two images share a weight, h = sum mu x + sqrt(sum sigma^2 x^2) eps has
        the same distribution (local reparameterisation, Kingma et al. 2015).
        """
        if mode.weight_kl and not in_closed_form(self.options):
            return self.fan_out, self.fan_in + 1, batch
        return self.fan_out, batch

    def over_images(self, kl: Tensor, batch: int) -> Tensor:
        """The layer's weight KL from its sum over the images."""
        return kl / batch if self.options.weight_kl_over_images == "mean" else kl

    def moments(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the layer's output over draws of its weights,
        (seeds, batch, fan_out) each."""
        columns = x.transpose(1, 2)
        mu, rho = self.mu_and_rho(columns, mode)
        spread = _spread(F.softplus(rho), columns)
        return _applied(mu, columns).transpose(1, 2), spread.transpose(1, 2)

    @staticmethod
    def size(fan_in: int, fan_out: int, options: ModelOptions) -> int:
        """Number of parameters of one seed."""
        rank = options.dynamic.rank
        inputs = (rank or fan_in) + (2 if options.batch_norm_maps else 0)
        inner = fan_in * rank if rank else 0
        return per_weight(options) * ((fan_in + 1) * fan_out * inputs + inner)


def in_closed_form(options: ModelOptions) -> bool:
    """Whether the weight KL is a function of mu and sigma alone."""
    return options.weight_kl == "auto" and options.weight_prior.closed_form


def weight_kl(
    options: ModelOptions,
    mu: Tensor,
    sigma: Tensor,
    eps: Tensor,
    w: Tensor | None,
) -> Tensor:
    """KL(q(w) to p(w)) of weights (seeds, ...), each seed's sum in nats, (seeds,).

    In closed form where the prior has one; else the one-sample estimate log q(w) -
    log p(w) with w = mu + sigma eps, the very weights of the data term.
    """
    prior = options.weight_prior
    if in_closed_form(options):
        nats = prior.kl(mu, sigma)
    else:
        log_q = -0.5 * eps.square() - sigma.log() - LOG_SQRT_2PI
        nats = log_q - prior.log_prob(w)
    return nats.expand_as(mu if w is None else w).flatten(1).sum(1)


def _applied(weights: Tensor, columns: Tensor) -> Tensor:
    """w x + b, (seeds, fan_out, batch); `weights` hold w and, last, b of each image."""
    w, b = weights.split([columns.shape[1], 1], 2)
    return (w * columns.unsqueeze(1)).sum(2) + b.squeeze(2)


def _spread(sigma: Tensor, columns: Tensor) -> Tensor:
    """The standard deviation of w x + b, (seeds, fan_out, batch)."""
    sigma_w, sigma_b = sigma.split([columns.shape[1], 1], 2)
    variance = (sigma_w * columns.unsqueeze(1)).square().sum(2)
    variance = variance + sigma_b.squeeze(2).square()
    # at zero the square root has no gradient
    return variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight)
