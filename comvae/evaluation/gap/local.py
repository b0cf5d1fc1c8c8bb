"""q*, the best diagonal Gaussian of each image for a frozen decoder.

The local optimum of Cremer et al. (2018, section 3), which amortization falls short of.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.minimise import minimise
from comvae.evaluation.gap.target import Target
from comvae.model.posterior import DiagonalGaussian, log_prior
from comvae.model.quasi_normal import quasi_normal

SCANNED = 4096  # points of the prior that every image's second start is chosen from
APART = 0.7  # least distance of the second start from the first, in prior scales


@dataclass
class Optimum:
    """What the search came to from each start; (starts, seeds, images[, latent])."""

    mean: Tensor
    scale: Tensor
    objective: Tensor  # negative ELBO in nats on the search's own draws; may be NaN
    iterations: Tensor  # each costs `draws` decoder evaluations with their gradients
    converged: Tensor
    draws: int

    def best(self) -> Tensor:
        """The better start of each image, (seeds, images); the first where none is."""
        return self.objective.nan_to_num(torch.inf, torch.inf).argmin(0)

    def usable(self) -> tuple[Tensor, Tensor]:
        """`mean` and `scale`; a start that led nowhere is replaced by the best one."""
        led, q = self.objective.isfinite().unsqueeze(3), self.of_start(self.best())
        return torch.where(led, self.mean, q.mean), torch.where(
            led, self.scale, q.scale
        )

    def of_start(self, chosen: Tensor) -> DiagonalGaussian:
        """q* from the start `chosen`, (seeds, images), of each image."""
        index = chosen[None, ..., None].expand(1, *self.mean.shape[1:])
        mean, scale = self.mean.gather(0, index)[0], self.scale.gather(0, index)[0]
        return DiagonalGaussian(mean, scale)


def local_optimum(
    target: Target,
    encoded: DiagonalGaussian,
    draws: int,
    iterations: int,
    tolerance: float,
) -> Optimum:
    """q* from two starts: the mean and scale that the encoder gives, and the prior.

    The start from the prior is the best of SCANNED points of it that are at least APART
    from where the first start led: two starts near each other find one mode twice.
    """
    search = draws, iterations, tolerance
    first = optimise(target, [encoded], *search)
    second = optimise(target, [prior_start(target, first.mean[0])], *search)
    both = [
        torch.cat([getattr(found, name) for found in (first, second)])
        for name in ("mean", "scale", "objective", "iterations", "converged")
    ]
    return Optimum(*both, first.draws)


def prior_start(target: Target, avoided: Tensor) -> DiagonalGaussian:
    """The second start; its scale is the points' mean distance.

    Costs SCANNED decoder evaluations for all images of a chunk together.
    """
    latent = avoided.shape[2]
    points = quasi_normal(SCANNED, latent).to(avoided.device)
    chosen = torch.empty_like(avoided)
    size = SCANNED // 8  # larger chunks than elsewhere: each decodes all points anew
    for part, index in image_chunks(*avoided.shape[:2], size, avoided.device):
        joint = target.select(index).at_points(points) + log_prior(points)
        near = torch.cdist(avoided[:, part], points.expand(len(avoided), -1, -1))
        chosen[:, part] = points[joint.masked_fill(near < APART, -torch.inf).argmax(2)]
    scale = torch.full_like(avoided, SCANNED ** (-1 / latent))
    return DiagonalGaussian(chosen, scale)


def optimise(
    target: Target,
    starts: list[DiagonalGaussian],
    draws: int = 64,
    iterations: int = 400,
    tolerance: float = 0.001,
) -> Optimum:
    """The local optimum from each of `starts`, all of them in one batch.

    The objective is the negative ELBO with an exact KL and the same quasi-random draws
    in every iteration, so that it is a function of mean and log scale without noise.
    An image stops for itself once it gains less than `tolerance` nats, or after
    `iterations`. `draws` are at least four times the latent dimensions.
    """
    _, images, latent = starts[0].mean.shape
    draws = max(draws // 2 * 2, 4 * latent)
    eps = quasi_normal(draws, latent).to(starts[0].mean.device)

    def objective(point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = point.chunk(2, 2)
        scale = log_scale.exp()
        q = DiagonalGaussian(mean, scale)
        z = q.rsample(eps.expand(*mean.shape[:2], -1, -1))
        value, gradient = target.select(rows % images).gradient(z)
        by_mean = mean - gradient.mean(2)
        by_log_scale = scale**2 - 1 - scale * (gradient * eps).mean(2)
        loss = q.kl() - value.mean(2)
        return loss, torch.cat([by_mean, by_log_scale], 2)

    start = torch.cat(
        [torch.cat([q.mean, q.scale.clamp(1e-3, 1e3).log()], 2) for q in starts],
        1,
    )
    found = minimise(objective, start, _inverse_curvature, tolerance, iterations)
    mean, log_scale = found.point.chunk(2, 2)
    each_start = [
        torch.stack(tensor.chunk(len(starts), 1))
        for tensor in (
            mean,
            log_scale.exp(),
            found.value,
            found.rounds,
            found.converged,
        )
    ]
    return Optimum(*each_start, draws)


def _inverse_curvature(point: Tensor, gradient: Tensor) -> Tensor:
    """The first guess: its step is the best one where the log density of z is quadratic
    and has no correlations.

    There the slope along the log scale is c - 1, where c is curvature times variance.
    """
    log_scale, slope = point.chunk(2, 2)[1], gradient.chunk(2, 2)[1]
    variance = (2 * log_scale).exp()
    c = (slope + 1).maximum(variance)  # the prior alone has curvature 1
    near_one = (c - 1).abs() < 1e-3
    by_scale = torch.where(near_one, 0.5, 0.5 * c.log() / (c - 1))
    return torch.cat([variance / c, by_scale], 2)
