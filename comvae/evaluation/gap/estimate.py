"""log p(x) by importance sampling, by annealing where that fails, and whether to trust
either."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from comvae.evaluation.gap.annealing import SCHEDULES, Annealed, anneal
from comvae.evaluation.gap.chunks import chunks
from comvae.evaluation.gap.fit import Normals, fit
from comvae.evaluation.gap.importance import (
    Evidence,
    Sampled,
    log_evidence,
    log_proposal,
)
from comvae.evaluation.gap.local import optimise
from comvae.evaluation.gap.target import Target, take
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian

ENOUGH = 0.1  # share of the importance draws that do, if they are effective
HEAVY = 0.55  # index of the tail of their weights, beyond which they have no variance
FEWEST = 100  # effective draws or chains, below which no estimate is reported
APART = 4.0  # errors of both methods together that they may differ by
FOREIGN = math.log(1000)  # weight, beyond which no mode accounts for a chain
MISSED = 0.02  # share of the posterior that may lie where no mode is
TOGETHER = 50  # images at a time


@dataclass
class Estimate:
    """log p(x) as it is reported, and what it is from."""

    found: Evidence
    modes: Normals
    sampled: Sampled  # the first importance draws

    def trusted(self) -> Tensor:
        """Whether enough draws are effective, (seeds, images)."""
        return self.found.effective >= FEWEST

    def images(self, chosen: slice) -> Self:
        """That of some of the images."""
        parts = self.found, self.modes, self.sampled
        return type(self)(*(part.images(chosen) for part in parts))

    def agrees(self, annealed: Annealed) -> Tensor:
        """Whether annealing from the prior bears out the estimates, (seeds, images):
        both are within APART of their errors, and its chains end where the modes are,
        up to the share MISSED of their weight.

        It takes no part in the estimate: both are lower bounds in expectation, and the
        larger of the two, image by image, is none.
        """
        apart = (self.found.log_px - annealed.log_px).abs()
        allowed = APART * torch.hypot(self.found.error, annealed.error)
        share = (annealed.log_weight.softmax(2) * self.foreign(annealed)).sum(2)
        return (apart <= allowed) & (share <= MISSED)

    def foreign(self, annealed: Annealed) -> Tensor:
        """Whether no mode accounts for where a chain ends, (seeds, images, chains). How
        far a weight may be above p(x) follows from how much those of the importance
        draws vary."""
        density = log_proposal(self.modes, annealed.z, int(1e4))
        usual = self.found.log_px + (self.sampled.draws / self.sampled.effective).log()
        return annealed.joint - density > usual.unsqueeze(2) + FOREIGN


def estimate(
    target: Target, modes: Normals, draws: int, noise: Noise, times: int = 1
) -> Estimate:
    """log p(x) of each image, by the method that its posterior needs.

    Where less than ENOUGH of `draws` importance draws is effective, or fewer than
    FEWEST are, or the tail of their weights is above HEAVY, one more mode is sought
    from the draw of the greatest weight, and as many are drawn anew. Where these do not
    do, chains are annealed from the modes by the schedule `short`, and where fewer than
    FEWEST of them are effective by `longer`, the most that an image is given; `times`
    as many chains as the schedules say. Each method draws for itself: what asked for it
    is no part of its estimate.
    """
    first = log_evidence(target, modes, draws, noise)
    found = Evidence(*(t.clone() for t in (first.log_px, first.effective, first.draws)))
    more = Normals.joined([modes, modes.component(0)])
    wanting, streams = _is_wanting(first), noise.of("more")
    for index, asked in _those(wanting):
        own, here = target.select(index), modes.select(index)
        another = _mode(own, here, take(first.heaviest, index))
        more.put(len(modes.mean), index, asked, another)
        again = log_evidence(own, more.select(index), draws, streams)
        found.put(index, asked, again)
        wanting.scatter_(1, index, asked & _is_wanting(again))
    for name in ("short", "longer"):
        schedule, streams = SCHEDULES[name], noise.of(name)
        schedule = replace(schedule, chains=times * schedule.chains)
        for index, asked in _those(wanting):
            own = target.select(index)
            again = anneal(own, more.select(index), schedule, streams)
            found.put(index, asked, again)
        wanting &= found.effective < FEWEST
    return Estimate(found, more, first)


def reconsider(
    target: Target, given: Estimate, annealed: Annealed, draws: int, noise: Noise
) -> Estimate:
    """`given`, but that images which annealing from the prior does not bear out are
    estimated anew, with one more mode: where the heaviest chain leads that no mode
    accounts for. Where it ended is all that the estimate takes from annealing."""
    more = Normals.joined([given.modes, given.modes.component(0)])
    found, first = given.found.images(slice(None)), given.sampled.images(slice(None))
    foreign = given.foreign(annealed)
    foreign |= ~foreign.any(2, keepdim=True)
    heaviest = annealed.log_weight.masked_fill(~foreign, -torch.inf).argmax(2)
    place = heaviest[..., None, None].expand(-1, -1, 1, annealed.z.shape[3])
    start = annealed.z.gather(2, place).squeeze(2)
    streams = noise.of("reconsidered")
    for index, asked in _those(~given.agrees(annealed)):
        own = target.select(index)
        another = _mode(own, given.modes.select(index), take(start, index))
        more.put(len(given.modes.mean), index, asked, another)
        again = estimate(own, more.select(index), draws, streams)
        found.put(index, asked, again.found)
        first.put(index, asked, again.sampled)
    return Estimate(found, more, first)


def _is_wanting(sampled: Sampled) -> Tensor:
    few = sampled.effective < (ENOUGH * sampled.draws).clamp_min(FEWEST)
    return few | (sampled.tail > HEAVY)


def _those(chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The images that are `chosen`, (seeds, images), some at a time: their index, and
    which of them are, for a seed may have fewer than another."""
    count = int(chosen.sum(1).max())
    order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    for part in chunks(count, 1, TOGETHER):
        index = order[:, part]
        yield index, take(chosen, index)


def _mode(target: Target, modes: Normals, start: Tensor) -> Normals:
    """A normal at the local optimum that `start`, (seeds, images, latent), leads to."""
    inverse = modes.inverse[0]
    scale = (inverse.mT @ inverse).diagonal(dim1=2, dim2=3).rsqrt()
    optimum = optimise(target, [DiagonalGaussian(start, scale)])
    led = optimum.objective[0].isfinite().unsqueeze(2)
    mean = torch.where(led, optimum.mean[0], modes.mean[0])
    scale = torch.where(led, optimum.scale[0], scale)
    return fit(target, mean.unsqueeze(0), scale.unsqueeze(0))
