"""log p(x) by annealed importance sampling with HMC transitions (Neal 2001).

Forwards it is a lower bound on log p(x) in expectation; backwards, from an exact draw
of the posterior, an upper bound (bidirectional Monte Carlo, Grosse et al. 2015).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from comvae.evaluation.gap.fit import Normals
from comvae.evaluation.gap.importance import Evidence
from comvae.evaluation.gap.target import Target
from comvae.model.noise import Noise
from comvae.model.posterior import log_prior


@dataclass(frozen=True)
class Schedule:
    """How p(x, z) is reached from a distribution that is known: through
    f_t = start^(1-t) p(x, z)^t at t = (k / distributions)^power."""

    distributions: int  # or PER_LATENT for each latent from the prior, if that is more
    chains: int
    leapfrog: int  # steps of a trajectory, one trajectory for each distribution
    step: float  # in scales of f_t, as far as it is normal
    start: str  # `prior`, or `optimum`: the normals at the local optima, widened
    power: float = 1.0
    adapted: bool = False  # the step of each chain, in scales of the prior, follows its
    # acceptance rate


SCHEDULES = {
    # A fixed step keeps the weights unbiased. Its directions and scales are those of
    # the posterior's curvature at the temperature at hand, so that from the prior a few
    # hundred distributions do what takes thousands with one step for all.
    "fast": Schedule(300, 32, 4, 0.4, "prior", power=3),
    # As in the authors' code, down to the step that follows the acceptance rate (which
    # makes the weights slightly biased).
    "cremer": Schedule(10_000, 100, 10, 0.01, "prior", adapted=True),
    # From the fitted normals the path is short: what tails they lack, it adds.
    "certificate": Schedule(60, 16, 4, 0.4, "optimum"),
    "short": Schedule(60, 160, 4, 0.4, "optimum"),
    "longer": Schedule(120, 320, 4, 0.4, "optimum"),
}
PER_LATENT = 8
WIDENED = 1.1  # scale of the start over that of a fitted normal
ACCEPTANCE, FASTER, SLOWER = 0.65, 1.02, 0.98
LEAST_STEP, MOST_STEP = 1e-4, 0.5
STEEPEST = 1e4  # gradients are clamped to this


@dataclass
class Annealed(Evidence):
    """An estimate of log p(x), and where its chains ended."""

    z: Tensor  # (seeds, images, chains, latent)
    joint: Tensor  # log p(x, z) there, (seeds, images, chains)
    log_weight: Tensor


def anneal(
    target: Target, modes: Normals, schedule: Schedule, noise: Noise
) -> Annealed:
    """log p(x), a lower bound in expectation.

    `modes` are the normals at the local optima of an image. From them, as many chains
    start at each. From the prior they are not where chains begin but how they step: by
    the curvature of the first. Costs distributions x chains x leapfrog steps decoder
    evaluations with their gradients.
    """
    start = _start(modes, schedule)
    images, latent = modes.mean.shape[2:]
    each = schedule.chains // len(start.mean)
    eps = noise.normal("annealing", images, each * len(start.mean), latent)
    parts = eps.split(each, 2)
    z = torch.cat([start.draw(c, part) for c, part in enumerate(parts)], 2)
    return _log_mean_weight(target, start, modes, z, schedule, noise, rising=True)


def anneal_back(
    target: Target, modes: Normals, exact: Tensor, schedule: Schedule, noise: Noise
) -> Tensor:
    """An upper bound on log p(x) in expectation, float64 (seeds, images).

    `exact`, (seeds, images, latent), are draws from the posterior: the latents that
    simulated images were made from.
    """
    start = _start(modes, schedule)
    z = exact.unsqueeze(2).expand(-1, -1, schedule.chains, -1).contiguous()
    back = _log_mean_weight(target, start, modes, z, schedule, noise, rising=False)
    return -back.log_px


def _start(modes: Normals, schedule: Schedule) -> Normals:
    """An even mixture of normals."""
    if schedule.start == "prior":
        mean = torch.zeros_like(modes.mean[:1])
        return Normals.diagonal(mean, torch.ones_like(mean))
    widened = modes.log_det + modes.mean.shape[3] * math.log(WIDENED)
    return Normals(modes.mean, WIDENED * modes.factor, modes.inverse / WIDENED, widened)


def _density_and_gradient(start: Normals, z: Tensor) -> tuple[Tensor, Tensor]:
    """log density of the mixture, and its gradient."""
    components = range(len(start.mean))
    each = torch.stack([start.log_prob(c, z) for c in components])
    share = each.softmax(0).unsqueeze(4)
    gradient = sum(
        -share[c] * (start.whitened(c, z) @ start.inverse[c]) for c in components
    )
    return each.logsumexp(0) - math.log(len(each)), gradient


def _moves(
    modes: Normals, start: Normals, schedule: Schedule
) -> Callable[[float], Tensor]:
    """The matrix, (seeds, images, latent, latent), that a momentum is multiplied with
    at temperature t: a square root of the covariance that f_t has where p(x, z) is the
    first normal. One for all chains of an image, wherever they started, or their mean
    weight would be biased."""
    inverse = modes.inverse[0]
    if schedule.adapted:
        one = torch.eye(inverse.shape[2], device=inverse.device)
        return lambda t: one
    precision = inverse.mT @ inverse
    if schedule.start == "optimum":
        return lambda t: modes.factor[0]
    values, vectors = torch.linalg.eigh(precision.nan_to_num(0.0, 0.0, 0.0))

    def at(t: float) -> Tensor:
        scales = (1 + t * (values - 1)).clamp_min(0.1).rsqrt()
        return (vectors * scales.unsqueeze(2)) @ vectors.mT

    return at


@dataclass
class _State:
    """Where the chains are; (seeds, images, chains[, latent])."""

    z: Tensor
    from_start: tuple[Tensor, Tensor]  # log density of the start at z, and gradient
    joint: tuple[Tensor, Tensor]  # log p(x, z), and gradient

    def at(self, t: float) -> tuple[Tensor, Tensor]:
        """log f_t and its gradient."""
        density, gradient = (
            (1 - t) * a + t * b
            for a, b in zip(self.from_start, self.joint, strict=True)
        )
        return density, gradient.clamp(-STEEPEST, STEEPEST)


def _log_mean_weight(
    target: Target,
    start: Normals,
    modes: Normals,
    z: Tensor,
    schedule: Schedule,
    noise: Noise,
    *,
    rising: bool,
) -> Annealed:
    """log of the mean over the chains of the weights of one anneal, up or down."""

    def state(z: Tensor) -> _State:
        value, gradient = target.gradient(z)
        joint = value + log_prior(z), gradient - z
        return _State(z, _density_and_gradient(start, z), joint)

    here, moves = state(z), _moves(modes, start, schedule)
    distributions = schedule.distributions
    if schedule.start == "prior":
        distributions = max(distributions, PER_LATENT * z.shape[3])
    even = torch.linspace(0, 1, distributions + 1, dtype=torch.float64)
    temperatures = even.pow(schedule.power).tolist()
    if not rising:
        temperatures.reverse()
    log_weight = torch.zeros(z.shape[:3], dtype=torch.float64, device=z.device)
    step = torch.full_like(z[..., 0], schedule.step)
    accepted = torch.zeros_like(step)
    for number, (before, after) in enumerate(itertools.pairwise(temperatures), 1):
        ratio = here.joint[0] - here.from_start[0]
        log_weight += (after - before) * ratio.double()
        if number == distributions:
            break
        by = step.unsqueeze(3), moves(after)
        here, accept = _transition(state, here, after, *by, schedule.leapfrog, noise)
        if schedule.adapted:
            accepted += accept
            often = accepted / number > ACCEPTANCE
            step = (step * torch.where(often, FASTER, SLOWER)).clamp(
                LEAST_STEP, MOST_STEP
            )
    total, chains = log_weight.logsumexp(2), z.shape[2]
    effective = (2 * total - (2 * log_weight).logsumexp(2)).exp()
    log_px = total - math.log(chains)
    ends = here.z, here.joint[0], log_weight
    return Annealed(log_px, effective, torch.full_like(log_px, chains), *ends)


def _transition(
    state: Callable[[Tensor], _State],
    here: _State,
    t: float,
    step: Tensor,
    moves: Tensor,
    leapfrog: int,
    noise: Noise,
) -> tuple[_State, Tensor]:
    """One HMC trajectory that leaves f_t as it is, and whether each chain took it.

    A step goes `step`, (seeds, images, chains, 1), times `moves` times the momentum.
    """
    momentum = noise.normal("annealing", *here.z.shape[1:])
    density, gradient = here.at(t)
    before = density - 0.5 * momentum.square().sum(3)
    there = here
    for _ in range(leapfrog):
        momentum = momentum + 0.5 * step * (gradient @ moves)
        there = state(there.z + step * (momentum @ moves.mT))
        density, gradient = there.at(t)
        momentum = momentum + 0.5 * step * (gradient @ moves)
    after = density - 0.5 * momentum.square().sum(3)
    uniform = 0.5 + noise.uniform("annealing", 0.5, *after.shape[1:])
    accept = uniform.log() < after - before

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        mask = accept.unsqueeze(3) if new.dim() == 4 else accept
        return torch.where(mask, new, old)

    kept = _State(
        chosen(there.z, here.z),
        tuple(map(chosen, there.from_start, here.from_start)),
        tuple(map(chosen, there.joint, here.joint)),
    )
    return kept, accept
