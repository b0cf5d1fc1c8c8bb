"""The variational auto-encoder: encoder, decoder and the terms of its objective."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comvae.config import RunConfig
from comvae.layers import (
    BatchNorm,
    BayesianLinear,
    BayesianOptions,
    DynamicBayesianLinear,
    Linear,
    Pass,
)
from comvae.noise import Noise
from comvae.objective import Terms, gaussian_kl, reconstruction_loss
from comvae.options import ModelOptions


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
        like = next(self.parameters())
        self.norms = nn.ModuleList(
            BatchNorm(seeds, hidden, 1.0, 0.0, momentum, like)
            for _ in self.hidden
            if options.batch_norm_hidden
        )
        self.mean = _layer(options.latent_layer, hidden, latent, options, init)
        self.scale = _layer(options.latent_layer, hidden, latent, options, init)

    def forward(self, x: Tensor, how: Pass) -> tuple[Tensor, Tensor, Tensor]:
        """(seeds, batch, pixels) -> mean and scale of z, (seeds, batch, latent) each,
        and the weight KL of all layers in nats, (seeds,)."""
        weight_kl = x.new_zeros(len(x))
        for index, layer in enumerate(self.hidden):
            h, kl = layer(x, how)
            if self.norms:
                h = self.norms[index](h.transpose(1, 2), how).transpose(1, 2)
            x, weight_kl = F.relu(h), weight_kl + kl
        mean, mean_kl = self.mean(x, how)
        s, scale_kl = self.scale(x, how)
        return mean, self._positive(s), weight_kl + mean_kl + scale_kl

    def _positive(self, s: Tensor) -> Tensor:
        if self.latent_scale == "exp":
            return torch.exp(0.5 * s)
        # below about -100 softplus underflows to zero, and log(0) would end the run
        return F.softplus(s).clamp_min(torch.finfo(s.dtype).tiny)


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
        self.encoder = Encoder(pixels, hidden, latent, options, init)
        self.decoder = Decoder(pixels, hidden, latent, options.hidden_layers, init)

    def forward(self, x: Tensor, how: Pass) -> Terms:
        """The terms of the objective for images x, (seeds, batch, pixels) in [0, 1]."""
        mean, scale, weight_kl = self.encoder(x, how)
        eps = how.noise.normal("latents", *mean.shape[1:])
        logits = self.decoder(mean + scale * eps, how)
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


def _layer(
    kind: str, fan_in: int, fan_out: int, options: ModelOptions, init: Noise
) -> nn.Module:
    if kind == "linear":
        return Linear(fan_in, fan_out, init)
    bayesian = BayesianOptions(
        options.weight_prior, options.weight_kl, options.weight_kl_over_images
    )
    if kind == "bayesian":
        return BayesianLinear(fan_in, fan_out, init, options.bayesian, bayesian)
    return DynamicBayesianLinear(
        fan_in,
        fan_out,
        init,
        options.dynamic,
        bayesian,
        options.batch_norm_maps,
        options.batch_norm_momentum,
    )
