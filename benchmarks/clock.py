"""Measure contestants in alternation: A B C B C A ..."""

import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from time import perf_counter

import torch

Measure = Callable[[], float]
"""Does something anew and gives its time."""

Round = dict[str, float]
"""The times of the contestants, measured one after the other."""


def alternate(contestants: Mapping[str, Measure], rounds: int) -> list[Round]:
    """Every contestant once per round; each round starts with another one."""
    names = list(contestants)
    measured = []
    for number in range(rounds):
        first = number % len(names)
        times = {}
        for name in names[first:] + names[:first]:
            gc.collect()  # the memory that the one before has left
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            times[name] = contestants[name]()
        measured.append({name: times[name] for name in names})
    return measured


def median(rounds: list[Round], name: str) -> float:
    """The median of a contestant's times; NaN where it did not take part."""
    return statistics.median(times.get(name, math.nan) for times in rounds)


def median_ratio(rounds: list[Round], peer: str, ours: str) -> float:
    """The median of how many times faster `ours` is than `peer`, or NaN as above."""
    ratios = (times.get(peer, math.nan) / times[ours] for times in rounds)
    return statistics.median(ratios)


def epoch_seconds(
    train: Callable[[Callable[..., None]], object], epochs: int, device: torch.device
) -> float:
    """Mean seconds of an epoch without the first one, which warms up.

    `train` calls what it is given at the end of each of its `epochs`. Raises
    RuntimeError where it calls it another number of times.
    """
    moments: list[float] = []

    def mark(*_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        moments.append(perf_counter())

    train(mark)
    if len(moments) != epochs:
        raise RuntimeError(
            f"{len(moments)} of {epochs} epochs ended: training broke off"
        )
    return (moments[-1] - moments[0]) / (epochs - 1)


def say(line: str) -> None:
    """Print a line of progress with the time."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)
