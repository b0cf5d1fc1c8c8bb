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

from comvae.evaluation.gap.target import Target
from comvae.model.noise import Noise
from comvae.model.posterior import log_normal, log_prior


@dataclass(frozen=True)
class Schedule:
    """How p(x, z) is reached from a distribution that is known: through
    f_t = start^(1-t) p(x, z)^t at evenly spaced t."""

    distributions: int
    chains: int
    leapfrog: int  # steps of a trajectory, one trajectory for each distribution
    step: float  # in scales of the start
    adapted: bool  # the step of each chain follows its acceptance rate
    start: str  # `prior`, or `optimum`: the local optima, widened


SCHEDULES = {
    # From q* the path is so short that 100 distributions do what takes thousands from
    # the prior. A fixed step keeps the weights unbiased: the scales of q* are the
    # posterior's conditional ones, and a step of 0.4 of them is stable however much up
    # to 16 latents are correlated.
    "fast": Schedule(100, 32, 5, 0.4, adapted=False, start="optimum"),
    # As in the authors' code, down to the step that follows the acceptance rate (which
    # makes the weights slightly biased).
    "cremer": Schedule(10_000, 100, 10, 0.01, adapted=True, start="prior"),
}
WIDENED = 1.2  # scale of the start over that of a local optimum
ACCEPTANCE, FASTER, SLOWER = 0.65, 1.02, 0.98
LEAST_STEP, MOST_STEP = 1e-4, 0.5
STEEPEST = 1e4  # gradients are clamped to this


def anneal(
    target: Target, mean: Tensor, scale: Tensor, schedule: Schedule, noise: Noise
) -> Tensor:
    """log p(x) in nats, a lower bound in expectation, float64 (seeds, images).

    `mean` and `scale`, (components, seeds, images, latent), are the local optima of an
    image, which may be several modes; as many chains start at each of them. Costs
    distributions x chains x leapfrog steps decoder evaluations with their gradients.
    """
    start = _start(mean, scale, schedule)
    _, images, latent = mean.shape[1:]
    each = schedule.chains // len(start.mean)
    eps = noise.normal("annealing", images, each * len(start.mean), latent)
    centres, widths = (
        tensor.repeat_interleave(each, 0).squeeze(3).permute(1, 2, 0, 3)
        for tensor in (start.mean, start.scale)
    )
    rising = torch.linspace(0, 1, schedule.distributions + 1, dtype=torch.float64)
    z = centres + widths * eps
    return _log_mean_weight(target, start, z, rising.tolist(), schedule, noise)


def anneal_back(
    target: Target,
    mean: Tensor,
    scale: Tensor,
    exact: Tensor,
    schedule: Schedule,
    noise: Noise,
) -> Tensor:
    """An upper bound on log p(x) in expectation, float64 (seeds, images).

    `exact`, (seeds, images, latent), are draws from the posterior: the latents that
    simulated images were made from.
    """
    start = _start(mean, scale, schedule)
    z = exact.unsqueeze(2).expand(-1, -1, schedule.chains, -1).contiguous()
    falling = torch.linspace(1, 0, schedule.distributions + 1, dtype=torch.float64)
    return -_log_mean_weight(target, start, z, falling.tolist(), schedule, noise)


@dataclass
class _Start:
    """An even mixture of normals, (components, seeds, images, 1, latent)."""

    mean: Tensor
    scale: Tensor

    @property
    def least_scale(self) -> Tensor:
        """The scale of HMC's steps: one for all chains, wherever they started, or the
        mean weight of the chains would be biased."""
        return self.scale.amin(0)

    def density_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        each = torch.stack(
            [log_normal(z, m, s) for m, s in zip(self.mean, self.scale, strict=True)]
        )
        share = each.softmax(0).unsqueeze(4)
        gradient = (share * (self.mean - z) / self.scale**2).sum(0)
        return each.logsumexp(0) - math.log(len(self.mean)), gradient


def _start(mean: Tensor, scale: Tensor, schedule: Schedule) -> _Start:
    if schedule.start == "prior":
        mean, scale = torch.zeros_like(mean[:1]), torch.ones_like(mean[:1])
    else:
        scale = WIDENED * scale
    return _Start(mean.unsqueeze(3), scale.unsqueeze(3))


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
    start: _Start,
    z: Tensor,
    temperatures: list[float],
    schedule: Schedule,
    noise: Noise,
) -> Tensor:
    """log of the mean over the chains of the weights of one anneal."""

    def state(z: Tensor) -> _State:
        value, gradient = target.gradient(z)
        joint = value + log_prior(z), gradient - z
        return _State(z, start.density_and_gradient(z), joint)

    here = state(z)
    log_weight = torch.zeros(z.shape[:3], dtype=torch.float64, device=z.device)
    step = torch.full_like(z[..., 0], schedule.step)
    accepted = torch.zeros_like(step)
    for number, (before, after) in enumerate(itertools.pairwise(temperatures), 1):
        ratio = here.joint[0] - here.from_start[0]
        log_weight += (after - before) * ratio.double()
        if number == schedule.distributions:
            break
        moves = step.unsqueeze(3) * start.least_scale
        here, accept = _transition(state, here, after, moves, schedule.leapfrog, noise)
        if schedule.adapted:
            accepted += accept
            often = accepted / number > ACCEPTANCE
            step = (step * torch.where(often, FASTER, SLOWER)).clamp(
                LEAST_STEP, MOST_STEP
            )
    return log_weight.logsumexp(2) - math.log(z.shape[2])


def _transition(
    state: Callable[[Tensor], _State],
    here: _State,
    t: float,
    moves: Tensor,
    leapfrog: int,
    noise: Noise,
) -> tuple[_State, Tensor]:
    """One HMC trajectory that leaves f_t as it is, and whether each chain took it.

    `moves` are the step sizes, (seeds, images, chains, latent).
    """
    momentum = noise.normal("annealing", *here.z.shape[1:])
    density, gradient = here.at(t)
    before = density - 0.5 * momentum.square().sum(3)
    there = here
    for _ in range(leapfrog):
        momentum = momentum + 0.5 * moves * gradient
        there = state(there.z + moves * momentum)
        density, gradient = there.at(t)
        momentum = momentum + 0.5 * moves * gradient
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
