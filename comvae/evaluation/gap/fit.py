"""The best normal of full covariance at each local optimum: where log p(x) is sought.

q* has the conditional scales of a posterior and none of its correlations; beyond a few
latents almost none of its draws count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.target import Target, take
from comvae.model.priors import LOG_SQRT_2PI
from comvae.model.quasi_normal import quasi_normal

DRAWS = 128  # quasi-random points that curvature and slope are averaged over
ROUNDS = 4
FARTHEST = 1.0  # most that a round moves a mean, in standard deviations
MOST_CHANGE = 10.0  # most that a round changes a variance by, as a factor


@dataclass(frozen=True)
class Normals:
    """N(mean, factor factor') for each component and image.

    `mean` is (components, seeds, images, latent); `factor` and its `inverse` are square
    in the latents, and `log_det`, of the factor, has none.
    """

    mean: Tensor
    factor: Tensor
    inverse: Tensor
    log_det: Tensor

    @classmethod
    def diagonal(cls, mean: Tensor, scale: Tensor) -> Self:
        """Those without correlations."""
        factor, inverse = torch.diag_embed(scale), torch.diag_embed(1 / scale)
        return cls(mean, factor, inverse, scale.log().sum(-1))

    def images(self, chosen: slice) -> Self:
        """Those of some of the images."""
        own = (self.mean, self.factor, self.inverse, self.log_det)
        return type(self)(*(tensor[:, :, chosen] for tensor in own))

    def select(self, index: Tensor) -> Self:
        """Those of the images `index`, (seeds, wanted)."""
        own = (self.mean, self.factor, self.inverse, self.log_det)
        return type(self)(
            *(torch.stack([take(part, index) for part in tensor]) for tensor in own)
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The components of all parts."""
        each = [(n.mean, n.factor, n.inverse, n.log_det) for n in parts]
        return cls(*map(torch.cat, zip(*each, strict=True)))

    def component(self, number: int) -> Self:
        """One of the components."""
        own = (self.mean, self.factor, self.inverse, self.log_det)
        return type(self)(*(tensor[number : number + 1] for tensor in own))

    def put(self, number: int, index: Tensor, where: Tensor, other: Self) -> None:
        """Set a component of the images `index`, (seeds, wanted), to the first one of
        another, as far as `where` says."""
        for name, tensor in vars(other).items():
            old, shape = getattr(self, name)[number], (1,) * (tensor.dim() - 3)
            there = index.view(*index.shape, *shape).expand(tensor.shape[1:])
            chosen = where.view(*where.shape, *shape)
            old.scatter_(1, there, torch.where(chosen, tensor[0], take(old, index)))

    def draw(self, component: int, eps: Tensor) -> Tensor:
        """Latents of one component from draws (seeds, images, draws, latent)."""
        return self.mean[component].unsqueeze(2) + eps @ self.factor[component].mT

    def whitened(self, component: int, z: Tensor) -> Tensor:
        """What `draw` makes `z` from."""
        off = z - self.mean[component].unsqueeze(2)
        return off @ self.inverse[component].mT

    def log_prob(self, component: int, z: Tensor) -> Tensor:
        """Log density under one component in nats, (seeds, images, draws)."""
        square = self.whitened(component, z).square().sum(3)
        normaliser = self.log_det[component].unsqueeze(2)
        return -0.5 * square - normaliser - z.shape[3] * LOG_SQRT_2PI


def fit(target: Target, mean: Tensor, scale: Tensor) -> Normals:
    """The normals that L is greatest for, near those with this mean and scale, all
    (components, seeds, images, latent).

    Each round takes the natural gradient's step: to the precision that is the mean
    curvature of -log p(x, z), by Stein's identity from the slopes at quasi-random
    points. Where log p(x, z) is quadratic the first round is exact. Costs ROUNDS
    x max(DRAWS, 4 latent) gradients of the decoder for each component and image.
    """
    start = Normals.diagonal(mean, scale)
    latent = mean.shape[3]
    eps = quasi_normal(max(DRAWS, 4 * latent), latent).to(mean.device)
    found = [torch.empty_like(start.mean), torch.empty_like(start.factor)]
    found += [torch.empty_like(start.factor), torch.empty_like(start.log_det)]
    size = len(eps) * latent
    for part, index in image_chunks(*mean.shape[1:3], size, mean.device):
        chosen = target.select(index)
        for c in range(len(mean)):
            own = start.images(part)
            here = own.mean[c], own.factor[c], own.inverse[c], own.log_det[c]
            for _ in range(ROUNDS):
                here = _round(chosen, *here, eps)
            for whole, tensor in zip(found, _triangular(*here), strict=True):
                whole[c][:, part] = tensor
    return Normals(*found)


def _round(
    target: Target,
    mean: Tensor,
    factor: Tensor,
    inverse: Tensor,
    log_det: Tensor,
    eps: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    z = mean.unsqueeze(2) + eps @ factor.mT
    slope = (target.gradient(z)[1] - z) @ factor  # along the columns of the factor
    curvature = -(slope.mT @ eps) / len(eps)
    symmetric = (curvature + curvature.mT) / 2
    values, vectors = torch.linalg.eigh(symmetric.nan_to_num(0.0, 0.0, 0.0))
    root = values.clamp(1 / MOST_CHANGE, MOST_CHANGE).sqrt()
    turned = vectors / root.unsqueeze(2)
    step = turned.mT @ slope.mean(2).unsqueeze(3)
    step = step / (step.norm(dim=2, keepdim=True) / FARTHEST).clamp_min(1)
    factor = factor @ turned
    inverse = root.unsqueeze(3) * vectors.mT @ inverse
    mean = mean + (factor @ step).squeeze(3)
    return mean, factor, inverse, log_det - root.log().sum(2)


def _triangular(
    mean: Tensor, factor: Tensor, inverse: Tensor, log_det: Tensor
) -> tuple[Tensor, ...]:
    """The same normals with the one factor that is lower triangular, whatever order
    eigenvectors came in: the same draws lead to the same latents."""
    upper = torch.linalg.qr(factor.mT, mode="r")[1]
    turn = torch.linalg.solve_triangular(upper.mT, factor, upper=False)
    signs = upper.diagonal(dim1=2, dim2=3).sign().unsqueeze(2)
    return mean, upper.mT * signs, signs.mT * (turn @ inverse), log_det


def degrees_of_freedom(latent: int) -> int:
    """Of the Student t that stands for a normal: its radius then varies about as much
    as that of the normal itself, and a few draws go far beyond."""
    return max(5, latent)


def widening(latent: int) -> float:
    """The scale of that Student t over the normal's: less, the more latents there are,
    as it costs a share of the draws in each."""
    return 1 + 1 / latent


def log_student(square: Tensor, log_det: Tensor, degrees: int, latent: int) -> Tensor:
    """Log density of a Student t in nats at a squared distance in its own scales."""
    constant = math.lgamma((degrees + latent) / 2) - math.lgamma(degrees / 2)
    constant -= 0.5 * latent * math.log(degrees * math.pi)
    return constant - log_det - (degrees + latent) / 2 * torch.log1p(square / degrees)
