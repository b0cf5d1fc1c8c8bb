"""Measure one row: all of its contestants side by side, and the floor."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch

from benchmarks import images, loop
from benchmarks.cases import Case, run_config
from benchmarks.clock import Measure, Round, alternate, epoch_seconds, median, say
from benchmarks.floor import floor_of
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.study.settings import RunConfig

OURS, PLAIN, PYTHAE = "comvae", "plain", "pythae"


@dataclass(frozen=True)
class Measured:
    """One row: its rounds, in milliseconds per step and seed, and its floor."""

    case: Case
    dataset: str
    batch_size: int
    steps: int  # minibatches of an epoch
    images: int  # of an epoch
    rounds: list[Round]
    floor: float

    @property
    def milliseconds(self) -> float:
        """Our time per step and seed."""
        return median(self.rounds, OURS)


def measure(case: Case, device: torch.device, rounds: int) -> Measured:
    """Measure a row. pythae takes part where it is installed and has such a model."""
    config = run_config(case)
    one = config.model_copy(update={"seeds": config.seeds[:1]})
    batch_size = config.training.batch_size
    data = images.named(case.dataset, case.steps and case.steps * batch_size)
    contestants = {
        OURS: _timed(train, config, data, device),
        PLAIN: _timed(loop.train, one, data, device),
    }
    if case.model == "vanilla" and pythae_installed():
        from benchmarks import pythae_peer

        contestants[PYTHAE] = _timed(pythae_peer.train, one, data, device)
    say(f"{case.model}, {data.name}, block of {case.seeds}: {', '.join(contestants)}")
    return Measured(
        case=case,
        dataset=data.name,
        batch_size=batch_size,
        steps=math.ceil(len(data.train) / batch_size),
        images=len(data.train),
        rounds=alternate(contestants, rounds),
        floor=floor_of(config, data.train.shape[1], device),
    )


def _timed(
    train: Callable[..., object], config: RunConfig, data: Dataset, device: torch.device
) -> Measure:
    """Milliseconds per step and seed of `train(config, data, device, on_epoch)`."""
    steps = math.ceil(len(data.train) / config.training.batch_size)

    def once() -> float:
        training = partial(train, config, data, device)
        seconds = epoch_seconds(training, config.training.epochs, device)
        return 1e3 * seconds / steps / len(config.seeds)

    return once


def pythae_installed() -> bool:
    """Whether pythae is here: `make bench` installs it."""
    return find_spec("pythae") is not None
