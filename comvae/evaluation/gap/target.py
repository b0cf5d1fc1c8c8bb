"""The log likelihood of images under frozen decoders, and its gradient.

Every estimator of this package sees a model through `Target` alone, so that the oracles
can put a model with known answers in its place.
"""

import copy
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from comvae.evaluation.gap.chunks import LOGITS, chunks
from comvae.model.vae import Decoder


class Target(Protocol):
    """log p(x given z) of some images for each seed, in nats; the prior is N(0, I)."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        """Of latents (seeds, images, draws, latent): (seeds, images, draws)."""
        ...

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and its gradient, shaped like `z`."""
        ...

    def at_points(self, z: Tensor) -> Tensor:
        """Of latents that all images share, (draws, latent): (seeds, images, draws)."""
        ...

    def select(self, index: Tensor) -> Self:
        """The target of the images `index`, (seeds, wanted), which may repeat."""
        ...


class DecoderTarget:
    """Trained decoders whose weights no longer change.

    With logits l = h W + b the log likelihood is the sum over the pixels of
    (x - 1/2) l - A(l) with an even A: log(2 cosh(l/2)) for the Bernoulli likelihood and
    log(sinh(l/2) / (l/2)) for the continuous Bernoulli. The first part is
    h . W (x - 1/2) + b . (x - 1/2): `readout`, (seeds, images, hidden), and `offset`,
    (seeds, images), are all that is needed of the images.
    """

    def __init__(self, decoder: Decoder, likelihood: str, x: Tensor) -> None:
        """`x` are the images in [0, 1]: (images, pixels), the same for all seeds, or
        (seeds, images, pixels)."""
        *self.hidden, self.last = [
            (layer.weight.detach(), layer.bias.detach().unsqueeze(1))
            for layer in decoder.layers
        ]
        self.likelihood = likelihood
        weight, bias = self.last
        self.readout = (x - 0.5) @ weight.transpose(1, 2)
        self.offset = ((x - 0.5) @ bias.transpose(1, 2)).squeeze(2)

    def select(self, index: Tensor) -> Self:
        chosen = copy.copy(self)
        chosen.readout = take(self.readout, index)
        chosen.offset = take(self.offset, index)
        return chosen

    def log_likelihood(self, z: Tensor) -> Tensor:
        out = z.new_empty(z.shape[:-1])
        for images, draws in self._chunks(z):
            out[:, images, draws] = self._forward(z[:, images, draws], images)[0]
        return out

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = z.new_empty(z.shape[:-1]), torch.empty_like(z)
        for images, draws in self._chunks(z):
            here = z[:, images, draws]
            value[:, images, draws], outputs, logits = self._forward(here, images)
            by_even = _slope(self.likelihood, logits) @ self.last[0].transpose(1, 2)
            by_h = self.readout[:, images].unsqueeze(2) - by_even.view(
                *here.shape[:-1], -1
            )
            by_h = by_h.flatten(1, 2)
            for (weight, _), h in zip(
                reversed(self.hidden), reversed(outputs), strict=True
            ):
                by_h = (by_h * (h > 0)) @ weight.transpose(1, 2)
            gradient[:, images, draws] = by_h.view_as(here)
        return value, gradient

    def at_points(self, z: Tensor) -> Tensor:
        seeds, images, _ = self.readout.shape
        out = z.new_empty(seeds, images, len(z))
        for draws in chunks(len(z), self._pixels, LOGITS[z.device.type]):
            outputs, logits = self._decode(z[draws].expand(seeds, -1, -1))
            linear = self.readout @ outputs[-1].transpose(1, 2)
            even = even_part(self.likelihood, logits)
            out[:, :, draws] = linear + self.offset.unsqueeze(2) - even.unsqueeze(1)
        return out

    @property
    def _pixels(self) -> int:
        return self.last[0].shape[2]

    def _chunks(self, z: Tensor) -> list[tuple[slice, slice]]:
        """Slices of images and of draws that keep the logits within bounds."""
        _, images, draws, _ = z.shape
        most = LOGITS[z.device.type]
        return [
            (some_images, some_draws)
            for some_images in chunks(images, draws * self._pixels, most)
            for some_draws in chunks(draws, self._pixels, most)
        ]

    def _forward(self, z: Tensor, images: slice) -> tuple[Tensor, list[Tensor], Tensor]:
        """log p(x given z) of some images, and what `_decode` gives."""
        outputs, logits = self._decode(z.flatten(1, 2))
        h = outputs[-1].view(*z.shape[:-1], -1)
        linear = (h @ self.readout[:, images].unsqueeze(3)).squeeze(3)
        even = even_part(self.likelihood, logits).view_as(linear)
        return linear + self.offset[:, images].unsqueeze(2) - even, outputs, logits

    def _decode(self, z: Tensor) -> tuple[list[Tensor], Tensor]:
        """(seeds, rows, latent) -> the output of every hidden layer, and the logits."""
        outputs = []
        for weight, bias in self.hidden:
            z = F.relu(torch.baddbmm(bias, z, weight))
            outputs.append(z)
        return outputs, torch.baddbmm(self.last[1], z, self.last[0])


def even_part(likelihood: str, logits: Tensor) -> Tensor:
    """The sum of A(l) over the last axis (pixels), in nats.

    A(l) = |l|/2 + log u, where u = 1 + exp(-|l|), or (1 - exp(-|l|)) / |l| for the
    continuous Bernoulli. The first u lies in [1, 2], so that the product of 64 of them
    is a float32 and one logarithm does for 64: half the time of 64 softplus.
    """
    size = logits.abs()
    half = size.sum(-1) / 2
    if likelihood == "continuous-bernoulli":
        size.clamp_min_(1e-6)  # A(0) = 0, not 0 / 0
        return half + (-torch.expm1(-size) / size).log_().sum(-1)
    factors = size.neg_().exp_().add_(1)
    whole = factors.shape[-1] // 64 * 64
    products = factors[..., :whole].unflatten(-1, (whole // 64, 64)).prod(-1)
    return half + products.log_().sum(-1) + factors[..., whole:].prod(-1).log_()


def _slope(likelihood: str, logits: Tensor) -> Tensor:
    """A'(l), shaped like `logits`."""
    if likelihood == "bernoulli":
        return logits.sigmoid().sub_(0.5)
    exact = 0.5 / torch.tanh(logits / 2) - 1 / logits  # cancels near zero
    series = logits / 12 - logits**3 / 720
    return torch.where(logits.abs() < 0.1, series, exact)


def take(tensor: Tensor, index: Tensor) -> Tensor:
    """The rows `index`, (seeds, wanted), of a tensor (seeds, rows, ...)."""
    shape = index.shape + (1,) * (tensor.dim() - 2)
    return tensor.gather(1, index.view(shape).expand(*index.shape, *tensor.shape[2:]))
