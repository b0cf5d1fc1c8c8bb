"""Measure contestants in alternation: A B C A B C ..."""

import gc
import statistics
from collections.abc import Callable, Mapping
from itertools import pairwise
from time import perf_counter

import torch

Measure = Callable[[], float]
"""Trains anew and gives milliseconds per step and seed, warm-up excluded."""

Round = dict[str, float]
"""Milliseconds per step and seed of each contestant, measured one after the other."""


def alternate(contestants: Mapping[str, Measure], rounds: int) -> list[Round]:
    """Every contestant once per round; each round starts with another one."""
    names = list(contestants)
    measured = []
    for number in range(rounds):
        first = number % len(names)
        order = names[first:] + names[:first]
        times = {name: _alone(contestants[name]) for name in order}
        measured.append({name: times[name] for name in names})
    return measured


def median(rounds: list[Round], name: str) -> float:
    """The median of a contestant over the rounds, milliseconds per step and seed."""
    return statistics.median(times[name] for times in rounds)


def median_ratio(rounds: list[Round], peer: str, ours: str) -> float:
    """How many times faster `ours` is than `peer`: the median of the rounds' ratios."""
    return statistics.median(times[peer] / times[ours] for times in rounds)


class Marks:
    """The moments at which epochs ended; works as a callback with any arguments."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.moments: list[float] = []

    def __call__(self, *_: object) -> None:
        """An epoch has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.moments.append(perf_counter())

    def epoch_seconds(self, expected: int) -> float:
        """Mean seconds of an epoch without the first one, which warms up.

        Raises RuntimeError where another number of epochs than `expected` ended.
        """
        if len(self.moments) != expected:
            raise RuntimeError(
                f"{len(self.moments)} of {expected} epochs ended: training broke off"
            )
        lengths = [after - before for before, after in pairwise(self.moments)]
        return statistics.fmean(lengths)


def _alone(measure: Measure) -> float:
    """A measurement in memory that the one before it has left."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return measure()
