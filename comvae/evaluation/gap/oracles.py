"""Models whose log p(x), q* and gaps are known without the estimators."""

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from comvae.evaluation.gap.target import take
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.options import ModelOptions
from comvae.model.posterior import log_prior
from comvae.model.vae import Decoder


class LinearGaussian:
    """x = z W + b + sigma noise: a `Target` whose posterior is a correlated normal.

    `weight` is (seeds, latent, pixels), `bias` (seeds, 1, pixels), `x` (seeds, images,
    pixels). The closed forms are float64.
    """

    def __init__(self, weight: Tensor, bias: Tensor, sigma: float, x: Tensor) -> None:
        self.weight, self.bias, self.sigma, self.x = weight, bias, sigma, x

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self._log_density(self._error(z))

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        error = self._error(z)
        slope = error @ self.weight.unsqueeze(1).transpose(2, 3) / self.sigma**2
        return self._log_density(error), slope

    def at_points(self, z: Tensor) -> Tensor:
        return self._log_density(self._error(z.expand(len(self.x), 1, -1, -1)))

    def select(self, index: Tensor) -> Self:
        chosen = copy.copy(self)
        chosen.x = take(self.x, index)
        return chosen

    def _error(self, z: Tensor) -> Tensor:
        decoded = z @ self.weight.unsqueeze(1) + self.bias.unsqueeze(1)
        return self.x.unsqueeze(2) - decoded

    def _log_density(self, error: Tensor) -> Tensor:
        normaliser = math.log(self.sigma) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * (error / self.sigma).square() - normaliser).sum(-1)

    def log_evidence(self) -> Tensor:
        """log p(x), (seeds, images): x is normal with covariance W'W + sigma^2."""
        weight, bias = self.weight.double(), self.bias.double()
        noise = self.sigma**2 * torch.eye(weight.shape[2], dtype=torch.float64)
        covariance = (weight.transpose(1, 2) @ weight + noise).unsqueeze(1)
        return torch.distributions.MultivariateNormal(bias, covariance).log_prob(
            self.x.double()
        )

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean (seeds, images, latent) and precision (seeds, latent, latent) of z."""
        weight, bias = self.weight.double(), self.bias.double()
        scaled = weight.transpose(1, 2) / self.sigma**2
        precision = torch.eye(weight.shape[1], dtype=torch.float64) + weight @ scaled
        mean = (self.x.double() - bias) @ scaled @ torch.linalg.inv(precision)
        return mean, precision

    def optimum(self) -> tuple[Tensor, Tensor]:
        """Mean and scale of q*, (seeds, images, latent) each: the posterior's mean and
        its conditional scales."""
        mean, precision = self.posterior()
        scale = precision.diagonal(dim1=1, dim2=2).rsqrt()
        return mean, scale.unsqueeze(1).expand_as(mean)

    def elbo(self, mean: Tensor, scale: Tensor) -> Tensor:
        """L of N(mean, scale^2), (seeds, images): log p(x) - KL(q to the posterior)."""
        mean, scale = mean.double(), scale.double()
        centre, precision = self.posterior()
        off = (mean - centre).unsqueeze(3)
        square = (off.transpose(2, 3) @ precision.unsqueeze(1) @ off)[..., 0, 0]
        trace = (precision.diagonal(dim1=1, dim2=2).unsqueeze(1) * scale**2).sum(2)
        log_det = torch.logdet(precision).unsqueeze(1) + 2 * scale.log().sum(2)
        kl = 0.5 * (square + trace - mean.shape[2] - log_det)
        return self.log_evidence() - kl


def linear_gaussian(
    sigma: float, images: int, latent: int = 5, pixels: int = 20, seed: int = 0
) -> LinearGaussian:
    """Random weights, and images simulated from them; one seed."""
    noise = Noise([seed], f"linear-Gaussian {sigma}")
    weight = noise.normal("weights", latent, pixels)
    bias = noise.normal("weights", 1, pixels)
    z = noise.normal("latents", images, latent)
    x = z @ weight + bias + sigma * noise.normal("pixels", images, pixels)
    return LinearGaussian(weight, bias, sigma, x)


class Turned(ABC):
    """Latents that are turned at random, and known likelihoods of each of them: a
    `Target` whose log p(x) is known at any size.

    `x`, (seeds, images, latent), says where the likelihood of an image is; `turn` is
    (latent, latent).
    """

    def __init__(self, latent: int, images: int, name: str) -> None:
        noise = Noise([0], f"{name} {latent}")
        self.turn = torch.linalg.qr(noise.normal("turn", latent, latent)[0])[0]
        self.x = self.place(noise, images, latent)

    @abstractmethod
    def place(self, noise: Noise, images: int, latent: int) -> Tensor:
        """`x` of some images."""

    @abstractmethod
    def of_turned(self, u: Tensor) -> Tensor:
        """Log likelihood of turned latents (seeds, images, draws, latent)."""

    @abstractmethod
    def log_evidence(self) -> Tensor:
        """log p(x) in nats, float64 (seeds, images)."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self.of_turned(z @ self.turn)

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            own = z.detach().requires_grad_()
            value = self.log_likelihood(own)
            (slope,) = torch.autograd.grad(value.sum(), own)
        return value.detach(), slope

    def at_points(self, z: Tensor) -> Tensor:
        return self.log_likelihood(z.expand(*self.x.shape[:2], -1, -1))

    def select(self, index: Tensor) -> Self:
        chosen = copy.copy(self)
        chosen.x = take(self.x, index)
        return chosen


class TwoModes(Turned):
    """Normal likelihoods of scales 0.2 to 1, but that the first latent has two, SIDE
    to both sides of 0 and of unequal weight."""

    SIDE, SHARES = 1.5, (0.7, 0.3)

    def place(self, noise: Noise, images: int, latent: int) -> Tensor:
        """As if drawn from the prior; what the first latent is plays no part."""
        return noise.normal("latents", images, latent)

    def _centres(self) -> list[Tensor]:
        centres = []
        for side in (self.SIDE, -self.SIDE):
            centre = self.x.clone()
            centre[..., 0] = side
            centres.append(centre)
        return centres

    def _scales(self) -> Tensor:
        return torch.linspace(0.2, 1.0, self.x.shape[2])

    def of_turned(self, u: Tensor) -> Tensor:
        """The log of both sides together, each without a normaliser."""
        each = [
            math.log(share)
            - 0.5 * ((u - centre.unsqueeze(2)) / self._scales()).square().sum(3)
            for share, centre in zip(self.SHARES, self._centres(), strict=True)
        ]
        return torch.logaddexp(*each)

    def log_evidence(self) -> Tensor:
        """Each side's integral over the prior is a normal density of its centre."""
        variance = self._scales().double().square()
        each = [
            math.log(share)
            + 0.5 * (variance / (1 + variance)).log().sum()
            - 0.5 * (centre.double().square() / (1 + variance)).sum(2)
            for share, centre in zip(self.SHARES, self._centres(), strict=True)
        ]
        return torch.logaddexp(*each)


class HeavyTails(Turned):
    """Each turned latent is seen with Student t noise of DEGREES and SCALE: a posterior
    whose tails are those of the t until the prior ends them."""

    DEGREES, SCALE = 3, 0.3

    def place(self, noise: Noise, images: int, latent: int) -> Tensor:
        """Latents from the prior, and normal noise."""
        z = noise.normal("latents", images, latent)
        return z + self.SCALE * noise.normal("pixels", images, latent)

    def _log_t(self, off: Tensor) -> Tensor:
        """Log density of the noise at `off`."""
        square = (off / self.SCALE).square()
        t = torch.distributions.StudentT(torch.tensor(float(self.DEGREES)))
        at_zero = t.log_prob(torch.zeros(())).item() - math.log(self.SCALE)
        return at_zero - (self.DEGREES + 1) / 2 * torch.log1p(square / self.DEGREES)

    def of_turned(self, u: Tensor) -> Tensor:
        """The sum over the latents."""
        return self._log_t(self.x.unsqueeze(2) - u).sum(3)

    def log_evidence(self) -> Tensor:
        """By the midpoint rule, latent by latent."""
        step = 0.01
        z = torch.arange(-10, 10, step, dtype=torch.float64) + step / 2
        joint = self._log_t(self.x.double().unsqueeze(3) - z)
        joint = joint - 0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        return (joint.logsumexp(3) + math.log(step)).sum(2)


def two_sided_decoder(slope: float, pixels: int = 24, seed: int = 0) -> Decoder:
    """A decoder of two latents that sees the first one's size but not its sign: the
    posterior of an image has two modes, further apart the larger `slope` is."""
    noise = Noise([seed], "two-sided decoder")
    decoder = Decoder(pixels, 8, 2, ModelOptions(title="Two-sided"), noise)
    first, last = decoder.layers
    with torch.no_grad():
        # relu(+-slope z_1) in pairs, and relu(+-z_2): a pair with the same weights to
        # the pixels is a function of |z_1|
        first.weight.zero_()
        first.bias.zero_()
        first.weight[:, 0, :4] = slope * torch.tensor([1.0, -1.0, 1.0, -1.0])
        first.bias[:, 2:4] = -slope
        first.weight[:, 1, 4:] = torch.tensor([1.0, -1.0, 1.0, -1.0])
        first.bias[:, 6:] = 1.0
        last.weight.copy_(noise.normal("weights", 8, pixels))
        last.weight[:, 1] = last.weight[:, 0]
        last.weight[:, 3] = last.weight[:, 2]
    return decoder


def simulate(decoder: Decoder, noise: Noise, images: int) -> tuple[Tensor, Tensor]:
    """Latents from the prior, (seeds, images, latent), and images of zeros and ones
    from the decoder's Bernoulli pixels, (seeds, images, pixels)."""
    z = noise.normal("latents", images, decoder.layers[0].weight.shape[1])
    with torch.no_grad():
        p = decoder(z).sigmoid()
    return z, noise.bernoulli("pixels", p)


@dataclass
class Quadrature:
    """Integrals over two latents by the midpoint rule, for one seed's decoder.

    For the decoders above the error is up to 0.001 nats, from the kinks of relu; the
    prior has 1e-8 of its mass beyond `reach`.
    """

    step: float = 0.04
    reach: float = 6.0

    def log_evidence(self, decoder: Decoder, likelihood: str, x: Tensor) -> Tensor:
        """log p(x) of images (images, pixels), float64 (images,)."""
        cells = round(2 * self.reach / self.step)
        middle = -self.reach + self.step * (torch.arange(cells) + 0.5)
        z = torch.cartesian_prod(middle, middle)
        total = torch.full((len(x),), -torch.inf, dtype=torch.float64)
        for part in z.split(20_000):
            with torch.no_grad():
                logits = decoder(part.unsqueeze(0))
            loss = torch.stack(
                [reconstruction_loss(likelihood, logits[0], one) for one in x]
            )
            joint = (log_prior(part) - loss).double()
            total = torch.logaddexp(total, joint.logsumexp(1))
        return total + 2 * math.log(self.step)
