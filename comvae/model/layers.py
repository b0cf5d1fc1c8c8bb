"""Layers with a leading axis of seeds: plain, Bayesian and dynamic Bayesian.

Every parameter, buffer and activation starts with the axis of seeds, so that one
optimiser step moves all seeds of a block (paper, section 2.2). A layer gives its output
and its weight KL, KL(q(w) to p(w)) in nats.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.priors import LOG_SQRT_2PI

NORM_EPS = 1e-5  # delta of eq. (6)

Running = tuple[Tensor | None, Tensor | None, float]  # mean, variance, momentum


@dataclass(frozen=True)
class Mode:
    """How a forward pass treats what is random and what depends on the batch."""

    noise: Noise
    sample_weights: bool = True  # else each weight at its mean
    batch_statistics: bool = False  # else batch norm with its running statistics
    update_statistics: bool = False  # move the running statistics towards the batch
    weight_kl: bool = True  # else the weight KL is not computed and comes out as zero


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
        return _per_weight(options) * (fan_in + 1) * fan_out


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
            torch.tensor(values[: _per_weight(options)]).repeat_interleave(weights)
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
        return _per_weight(options) * ((fan_in + 1) * fan_out * inputs + inner)


class BareMap(nn.Module):
    """M x: what the two maps below have in common.

    `map` is M, (seeds, size, fan_in). With `dynamic.rank` r it is the second factor of
    M, (seeds, size, r), and `inner` the first, (seeds, 2 r, fan_in): r numbers of each
    image for the half of the outputs that are mu, and r for the other half, rho. The
    elements of the product start with the variance of those of a full M.
    """

    def __init__(
        self, fan_in: int, size: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        bound, rank = 1 / math.sqrt(fan_in), options.dynamic.rank
        inner = None
        if rank is not None:
            halves = _per_weight(options)
            inner = nn.Parameter(init.uniform("weights", bound, halves * rank, fan_in))
            bound = math.sqrt(3 / rank)  # a variance of 1 / rank
        self.register_parameter("inner", inner)
        self.map = nn.Parameter(init.uniform("weights", bound, size, rank or fan_in))

    def product(self, columns: Tensor) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        if self.inner is None:
            return torch.bmm(self.map, columns)
        seeds, size, rank = self.map.shape
        between = torch.bmm(self.inner, columns).view(-1, rank, columns.shape[2])
        halves = self.map.view(len(between), -1, rank)
        return torch.bmm(halves, between).view(seeds, size, -1)


class NormalisedMap(BareMap):
    """A bias-free linear map, then batch norm over the images (section 2.2.3).

    `gamma` and `beta`, (size,), are the initial scale and shift of each output.
    """

    def __init__(
        self,
        fan_in: int,
        gamma: Tensor,
        beta: Tensor,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__(fan_in, len(gamma), options, init)
        self.norm = BatchNorm(gamma, beta, options, init)

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        return self.norm(self.product(columns), mode)


class ScaledMap(BareMap):
    """shift + scale M x without batch norm; `scale` and `shift` are (size,)."""

    def __init__(
        self,
        fan_in: int,
        scale: Tensor,
        shift: Tensor,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__(fan_in, len(scale), options, init)
        self.normalise_input = options.dynamic.normalise_input
        self.register_buffer("scale", scale.unsqueeze(1), persistent=False)
        self.register_buffer("shift", shift.unsqueeze(1), persistent=False)

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, fan_in, batch) -> (seeds, size, batch)."""
        product = self.product(self.normalised(columns))
        return torch.addcmul(self.shift, product, self.scale)

    def normalised(self, columns: Tensor) -> Tensor:
        """The map's input: that of the layer, divided by its root mean square."""
        if not self.normalise_input:
            return columns
        # eps: ReLU can leave a hidden vector of zeros, which has no direction
        power = columns.square().mean(1, keepdim=True) + NORM_EPS
        return columns * power.rsqrt()


class BatchNorm(nn.Module):
    """Batch norm of each feature of each seed over the images (section 2.2.3).

    Like `torch.nn.BatchNorm1d`: the batch's biased variance normalises, its unbiased
    variance enters the running statistics, which with a momentum of `cumulative` are
    means over all `batches`. `gamma` and `beta`, (features,), are initial values.
    """

    def __init__(
        self, gamma: Tensor, beta: Tensor, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        self.momentum = options.batch_norm_momentum
        self.gamma = nn.Parameter(gamma.repeat(len(init.seeds), 1))
        self.beta = nn.Parameter(beta.repeat(len(init.seeds), 1))
        self.register_buffer("running_mean", torch.zeros_like(self.gamma.data))
        self.register_buffer("running_var", torch.ones_like(self.gamma.data))
        if self.momentum == "cumulative":
            self.register_buffer("batches", torch.zeros(len(init.seeds), 1))

    @contextmanager
    def moving(self, mode: Mode) -> Iterator[Running]:
        """The statistics, (seeds, features), that a pass in training moves towards
        those of its batch; or none to be moved."""
        running = self.running_mean, self.running_var
        if not mode.update_statistics:
            yield None, None, 0.0
        elif self.momentum != "cumulative":
            yield *running, self.momentum
        else:
            batch = [torch.zeros_like(each) for each in running]
            yield *batch, 1.0
            self.batches += 1
            for each, newest in zip(running, batch, strict=True):
                each.lerp_(newest, 1 / self.batches)

    def as_affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift, (seeds, features), that the running statistics make."""
        scale = self.gamma * (self.running_var + NORM_EPS).rsqrt()
        return scale, self.beta - self.running_mean * scale

    def forward(self, columns: Tensor, mode: Mode) -> Tensor:
        """(seeds, features, batch) -> the same shape, normalised over the batch."""
        seeds, features, batch = columns.shape
        flat = columns.reshape(1, seeds * features, batch)
        affine = self.gamma.view(-1), self.beta.view(-1)
        if mode.batch_statistics:
            with self.moving(mode) as (mean, var, momentum):
                moved = [t if t is None else t.view(-1) for t in (mean, var)]
                out = F.batch_norm(flat, *moved, *affine, True, momentum, NORM_EPS)
        else:
            running = self.running_mean.view(-1), self.running_var.view(-1)
            out = F.batch_norm(flat, *running, *affine, eps=NORM_EPS)
        out = out.view(seeds, features, batch)
        if out.requires_grad:
            # a transposed gradient takes another kernel, and rounds otherwise, where
            # there is one seed alone
            out.register_hook(Tensor.contiguous)
        return out


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


def _per_weight(options: ModelOptions) -> int:
    """Parameters of the distribution of one weight: mu and rho, or mu."""
    return 2 if options.weight_noise else 1


LAYERS = {
    "linear": Linear,
    "bayesian": BayesianLinear,
    "dynamic": DynamicBayesianLinear,
}
