"""The variational auto-encoder: encoder, decoder and the terms of its objective."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.model.layers import DynamicBayesianLinear, Linear
from comvae.model.maps import BatchNorm
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import Terms, reconstruction_loss
from comvae.model.options import (
    ENCODERS,
    LAYERS,
    OBJECTIVES,
    POSTERIORS,
    ModelOptions,
)
from comvae.model.posterior import DiagonalGaussian


class VAE(nn.Module):
    """One model of Table 1, for all seeds of a block.

    Encoder and decoder are initialised from streams of their own: with one seed the
    decoders of all models start alike.
    """

    def __init__(
        self,
        pixels: int,
        hidden: int,
        latent: int,
        options: ModelOptions,
        init: Noise,
    ) -> None:
        super().__init__()
        self.options, self.latent = options, latent
        width = encoder_width(pixels, hidden, latent, options)
        encoder = resolve_name(ENCODERS[options.encoder])
        self.encoder = encoder(pixels, width, latent, options, init.of("encoder"))
        self.decoder = Decoder(pixels, hidden, latent, options, init.of("decoder"))
        self.objective = resolve_name(OBJECTIVES[options.objective])

    def forward(self, x: Tensor, mode: Mode) -> Terms:
        """The terms of the objective for images x, (seeds, batch, pixels) in [0, 1]."""
        return self.objective(self, x, mode)

    def terms(
        self, x: Tensor, posterior: DiagonalGaussian, weight_kl: Tensor, mode: Mode
    ) -> Terms:
        """The terms of the ELBO for one draw of z from what the encoder gave for x."""
        eps = mode.noise.normal("latents", x.shape[1], self.latent)
        z = posterior.rsample(eps)
        nats = reconstruction_loss(self.options.likelihood, self.decoder(z), x)
        return Terms(nats, posterior.kl(z), weight_kl)

    def parameters_per_seed(self) -> int:
        """Number of trained parameters of one seed."""
        return sum(parameter[0].numel() for parameter in self.parameters())


def elbo(vae: VAE, x: Tensor, mode: Mode) -> Terms:
    """The evidence lower bound (eq. 4), with one draw of z for each image."""
    return vae.terms(x, *vae.encoder(x, mode), mode)


def simulate(vae: VAE, noise: Noise, images: int) -> tuple[Tensor, Tensor]:
    """Latents from the prior, (seeds, images, latent), and an image from each, (seeds,
    images, pixels): binary, or as the continuous Bernoulli has them."""
    z = noise.normal("latents", images, vae.latent)
    logits = vae.decoder(z)
    if vae.options.likelihood == "bernoulli":
        return z, noise.bernoulli("pixels", logits.sigmoid())
    u = noise.uniform("pixels", 0.5, *logits.shape[1:]) + 0.5
    return z, (torch.log1p(u * torch.expm1(logits)) / logits).nan_to_num(0.5)


class Encoder(nn.Module):
    """q(z given x, w): hidden layers, then one layer for what the posterior needs."""

    def __init__(
        self, pixels: int, hidden: int, latent: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        self.input_noise, self.dropout = options.input_noise, options.dropout
        widths = [pixels] + [hidden] * options.hidden_layers
        hidden_layer, latent_layer = layer_kinds(options)
        self.hidden = nn.ModuleList(
            hidden_layer(fan_in, fan_out, options, init)
            for fan_in, fan_out in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(
            BatchNorm(torch.ones(hidden), torch.zeros(hidden), options, init)
            for _ in self.hidden
            if options.batch_norm_hidden
        )
        self.posterior = resolve_name(POSTERIORS[options.posterior])(
            latent, options, init
        )
        # the layers of mean and scale read the same input: one layer has both outputs
        self.latents = latent_layer(hidden, self.posterior.outputs, options, init)

    def forward(self, x: Tensor, mode: Mode) -> tuple[DiagonalGaussian, Tensor]:
        """(seeds, batch, pixels) -> q(z given x, w), and the weight KL of all layers in
        nats, (seeds,)."""
        outputs, weight_kl = self.outputs(x, mode)
        return self.posterior(outputs), weight_kl

    def outputs(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """What the posterior is made of, (seeds, batch, outputs), and the weight KL."""
        if self.input_noise and mode.input_noise:
            x = x + self.input_noise * mode.noise.normal("input", *x.shape[1:])
        h, weight_kl = self.hidden[0](x, mode)
        return self._after_first(h, weight_kl, mode)

    @torch.no_grad()
    def posteriors(
        self, x: Tensor, mode: Mode, draws: int
    ) -> Iterator[tuple[DiagonalGaussian, Tensor]]:
        """What `draws` calls would give, for less, without gradients.

        Random weights are drawn anew each time. Those of a dynamic layer have their KL
        in the first draw alone, which has each image's: it is zero in the others.
        """
        first = self.hidden[0]
        repeats = isinstance(first, DynamicBayesianLinear) and first.is_random(mode)
        for draw in range(draws):
            if draw == 0 or not repeats:
                yield self(x, mode)
                continue
            if draw == 1:
                mode = replace(mode, weight_kl=False)
                mean, deviation = first.moments(x, mode)
            eps = mode.noise.normal("weights", *first.noise_shape(x.shape[1], mode))
            h = torch.addcmul(mean, deviation, eps.transpose(1, 2))
            outputs, no_kl = self._after_first(h, x.new_zeros(len(x)), mode)
            yield self.posterior(outputs), no_kl

    def _after_first(
        self, h: Tensor, weight_kl: Tensor, mode: Mode
    ) -> tuple[Tensor, Tensor]:
        """The rest of `outputs`, from the output of the first layer."""
        for index, layer in enumerate([*self.hidden[1:], self.latents]):
            if self.norms:
                h = self.norms[index](h.transpose(1, 2), mode).transpose(1, 2)
            h, kl = layer(self._dropped(F.relu(h), mode), mode)
            weight_kl = weight_kl + kl
        return h, weight_kl

    def _dropped(self, h: Tensor, mode: Mode) -> Tensor:
        """Hidden units, some of which are left out and the others scaled up."""
        if not (self.dropout and mode.sample_weights):
            return h
        kept = torch.full_like(h, 1 - self.dropout)
        return h * mode.noise.bernoulli("dropout", kept) / (1 - self.dropout)

    def random_weights(self) -> int:
        """Number of weights of one network that are drawn at random."""
        return sum(layer.random_weights for layer in [*self.hidden, self.latents])


class Decoder(nn.Module):
    """p(x given z): hidden layers of plain weights, then one logit per pixel."""

    def __init__(
        self, pixels: int, hidden: int, latent: int, options: ModelOptions, init: Noise
    ) -> None:
        super().__init__()
        widths = [latent] + [hidden] * options.hidden_layers + [pixels]
        self.layers = nn.ModuleList(
            Linear(fan_in, fan_out, options, init)
            for fan_in, fan_out in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(seeds, batch, latent) -> logits (seeds, batch, pixels)."""
        *hidden, last = self.layers
        for layer in hidden:
            z = F.relu(layer.affine(z))
        return last.affine(z)


def layer_kinds(options: ModelOptions) -> tuple[Any, Any]:
    """The classes of the encoder's hidden layers and of its last layer."""
    kinds = options.hidden_layer, options.latent_layer
    hidden, latent = (resolve_name(LAYERS[kind]) for kind in kinds)
    return hidden, latent


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
    # a hidden unit has more than one parameter
    return (
        bisect.bisect_right(
            range(allowed),
            allowed,
            key=lambda width: encoder_parameters(pixels, width, latent, options),
        )
        - 1
    )


def encoder_parameters(
    pixels: int, hidden: int, latent: int, options: ModelOptions
) -> int:
    """Number of trained parameters of one seed's encoder of width `hidden`."""
    widths = [pixels] + [hidden] * options.hidden_layers
    hidden_layer, latent_layer = layer_kinds(options)
    layers = [
        hidden_layer.size(fan_in, fan_out, options)
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
    heads = latent_layer.size(hidden, 2 * latent, options)
    norms = 2 * hidden * options.hidden_layers if options.batch_norm_hidden else 0
    return sum(layers) + heads + norms
