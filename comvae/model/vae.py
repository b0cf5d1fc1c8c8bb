"""The variational auto-encoder: encoder, decoder and the terms of its objective."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.layers import (
    BatchNorm,
    BayesianLinear,
    DynamicBayesianLinear,
    Linear,
    Pass,
)
from comvae.model.noise import Noise
from comvae.model.objective import Terms, gaussian_kl, reconstruction_loss
from comvae.model.options import ModelOptions
from comvae.model.weight_kl import WeightKL
from comvae.study.settings import RunConfig


class Encoder(nn.Module):
    """q(z given x, w): hidden layers, then one layer each for mean and scale of z."""

    def __init__(
        self, pixels: int, hidden: int, latent: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        widths = [pixels] + [hidden] * options.hidden_layers
        self.latent_scale = options.latent_scale
        self.hidden = nn.ModuleList(
            _layer(options.hidden_layer, fan_in, fan_out, options, init)
            for fan_in, fan_out in itertools.pairwise(widths)
        )
        seeds, momentum = len(init.seeds), options.batch_norm_momentum
        self.norms = nn.ModuleList(
            BatchNorm(seeds, torch.ones(hidden), torch.zeros(hidden), momentum)
            for _ in self.hidden
            if options.batch_norm_hidden
        )
        # two layers that read the same input are one with twice as many outputs
        self.latents = _layer(options.latent_layer, hidden, 2 * latent, options, init)

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor, Tensor]:
        """(seeds, batch, pixels) -> mean and scale of z, (seeds, batch, latent) each,
        and the weight KL of all layers in nats, (seeds,)."""
        h, weight_kl = self.hidden[0](x, how)
        return self._from_first(h, weight_kl, how)

    @torch.no_grad()
    def posteriors(
        self, x: Tensor, how: Pass, draws: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What `draws` calls would give, for less, without gradients.

        Random weights are drawn anew each time. Those of a dynamic layer have their KL
        in the first draw alone, which has each image's: it is zero in the others.
        """
        first = self.hidden[0]
        repeats = isinstance(first, DynamicBayesianLinear) and first.is_random(how)
        for draw in range(draws):
            if draw == 0 or not repeats:
                yield self(x, how)
                continue
            if draw == 1:
                how = replace(how, weight_kl=False)
                mean, deviation = first.moments(x, how)
            eps = how.noise.normal("weights", *mean.shape[1:])
            h = torch.addcmul(mean, deviation, eps).transpose(1, 2)
            yield self._from_first(h, x.new_zeros(len(x)), how)

    def _from_first(
        self, h: Tensor, weight_kl: Tensor, how: Pass
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The rest of the encoder, from the output of its first layer."""
        for index, layer in enumerate([*self.hidden[1:], self.latents]):
            if self.norms:
                h = self.norms[index](h.transpose(1, 2), how).transpose(1, 2)
            h, kl = layer(F.relu(h), how)
            weight_kl = weight_kl + kl
        mean, s = h.chunk(2, dim=2)
        return mean, self._positive(s), weight_kl

    def random_weights(self) -> int:
        """Number of weights of one network that are drawn at random."""
        return sum(layer.random_weights for layer in [*self.hidden, self.latents])

    def _positive(self, s: Tensor) -> Tensor:
        if self.latent_scale == "exp":
            return torch.exp(0.5 * s)
        # below about -100 softplus underflows to zero, and log(0) would end the run
        return F.softplus(s) + torch.finfo(s.dtype).tiny


class Decoder(nn.Module):
    """p(x given z): hidden layers of plain weights, then one logit per pixel."""

    def __init__(
        self, pixels: int, hidden: int, latent: int, hidden_layers: int, init: Noise
    ) -> None:
        super().__init__()
        widths = [latent] + [hidden] * hidden_layers + [pixels]
        self.layers = nn.ModuleList(
            Linear(fan_in, fan_out, init)
            for fan_in, fan_out in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor, how: Pass) -> Tensor:
        """(seeds, batch, latent) -> logits (seeds, batch, pixels)."""
        *hidden, last = self.layers
        for layer in hidden:
            z = F.relu(layer(z, how)[0])
        return last(z, how)[0]


class VAE(nn.Module):
    """One model of Table 1, for all seeds of a block."""

    def __init__(
        self,
        pixels: int,
        hidden: int,
        latent: int,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__()
        self.options = options
        self.latent = latent
        width = encoder_width(pixels, hidden, latent, options)
        self.encoder = Encoder(pixels, width, latent, options, init)
        self.decoder = Decoder(pixels, hidden, latent, options.hidden_layers, init)

    def forward(self, x: Tensor, how: Pass) -> Terms:
        """The terms of the objective for images x, (seeds, batch, pixels) in [0, 1]."""
        return self.terms(x, self.encoder(x, how), how)

    def terms(
        self, x: Tensor, posterior: tuple[Tensor, Tensor, Tensor], how: Pass
    ) -> Terms:
        """The terms for one draw of z from what the encoder gave for x."""
        mean, scale, weight_kl = posterior
        eps = how.noise.normal("latents", *mean.shape[1:])
        logits = self.decoder(torch.addcmul(mean, scale, eps), how)
        return Terms(
            reconstruction_loss(self.options.likelihood, logits, x),
            gaussian_kl(mean, scale),
            weight_kl,
        )

    def parameters_per_seed(self) -> int:
        """Number of trained parameters of one seed."""
        return sum(parameter[0].numel() for parameter in self.parameters())


def build(config: RunConfig, pixels: int, device: torch.device | str = "cpu") -> VAE:
    """A freshly initialised VAE for the seeds of `config`, on `device`.

    Initial values are drawn on the CPU, so that they are the same on every device.
    """
    init = Noise(config.seeds, "initialisation")
    training = config.training
    return VAE(pixels, training.hidden, training.latent, config.options, init).to(
        device
    )


def encoder_width(pixels: int, hidden: int, latent: int, options: ModelOptions) -> int:
    """Width of the encoder's hidden layers.

    `match-dynamic`: the greatest at which the encoder has no more parameters than a
    compound encoder (DBNN layers and batch norm throughout) of width `hidden`.
    """
    if options.encoder_hidden != "match-dynamic":
        return options.encoder_hidden or hidden
    changes = dict(hidden_layer="dynamic", latent_layer="dynamic", weight_noise=True)
    norms = dict(batch_norm_maps=True, batch_norm_hidden=True)
    compound = options.model_copy(update=changes | norms)
    allowed = encoder_parameters(pixels, hidden, latent, compound)
    too_wide = allowed  # a hidden unit has more than one parameter
    width = 1
    while too_wide - width > 1:
        middle = (width + too_wide) // 2
        if encoder_parameters(pixels, middle, latent, options) <= allowed:
            width = middle
        else:
            too_wide = middle
    return width


def encoder_parameters(
    pixels: int, hidden: int, latent: int, options: ModelOptions
) -> int:
    """Number of trained parameters of one seed's encoder of width `hidden`."""
    widths = [pixels] + [hidden] * options.hidden_layers
    layers = [
        _layer_parameters(options.hidden_layer, fan_in, fan_out, options)
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
    heads = 2 * _layer_parameters(options.latent_layer, hidden, latent, options)
    norms = 2 * hidden * options.hidden_layers if options.batch_norm_hidden else 0
    return sum(layers) + heads + norms


def _layer_parameters(
    kind: str, fan_in: int, fan_out: int, options: ModelOptions
) -> int:
    weights = (fan_in + 1) * fan_out
    distribution = 2 if options.weight_noise else 1  # mu and rho, or mu
    if kind == "linear":
        return weights
    if kind == "bayesian":
        return distribution * weights
    return distribution * weights * (fan_in + (2 if options.batch_norm_maps else 0))


def _layer(
    kind: str, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
) -> nn.Module:
    if kind == "linear":
        return Linear(fan_in, fan_out, init)
    weight_kl = None
    if options.weight_noise:
        weight_kl = WeightKL(
            options.weight_prior, options.weight_kl, options.weight_kl_over_images
        )
    if kind == "bayesian":
        return BayesianLinear(fan_in, fan_out, init, options.bayesian, weight_kl)
    return DynamicBayesianLinear(
        fan_in,
        fan_out,
        init,
        options.dynamic,
        weight_kl,
        options.batch_norm_maps,
        options.batch_norm_momentum,
    )
