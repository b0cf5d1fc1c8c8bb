"""Measure one row: all of its contestants side by side, and the floor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from benchmarks import images, loop, ours, pythae_vae
from benchmarks.cases import Case, is_heavy, run_config
from benchmarks.clock import Measure, Round, alternate, median
from benchmarks.floor import Floor, floor_of
from comvae.datasets.loading import Dataset
from comvae.study.settings import RunConfig

OURS, PYTHAE = "comvae", "pythae"
FINDING_ROUNDS = 2  # the best of which decides


@dataclass(frozen=True)
class Measured:
    """One row: its rounds, in milliseconds per step and seed, and its floor."""

    case: Case
    dataset: str
    batch_size: int
    steps: int  # minibatches of an epoch
    images: int  # of an epoch
    plain: str  # the fastest variant of the plain loop
    rounds: list[Round]
    floor: Floor
    aside: Round = field(default_factory=dict)  # the plain loop's variants

    @property
    def milliseconds(self) -> float:
        """Our time per step and seed."""
        return median(self.rounds, OURS)


def measure(
    case: Case,
    device: torch.device,
    rounds: int,
    say: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Measure a row.

    First, uncounted rounds warm up and find the fastest variant of the plain loop;
    that one runs in the rounds that count.
    """
    config = run_config(case)
    batch_size = config.training.batch_size
    whole = images.named(case.dataset)
    data = images.shortened(whole, case.steps and case.steps * batch_size)
    steps = -(-len(data.train) // batch_size)
    settings = config, data, device, steps
    say(f"{case.model}, {data.name}, block of {case.seeds}: finding the plain loop")
    loops = _plain_loops(case, *settings)
    found = alternate(loops, FINDING_ROUNDS)
    aside = {name: min(times[name] for times in found) for name in loops}
    plain = min((name for name in aside if name != loop.COMPILED), key=aside.get)
    contestants = {
        OURS: _per_step(partial(ours.epoch_seconds, config), *settings[1:], case.seeds),
        plain: _plain_loop(plain, *settings),
    }
    if case.model == "vanilla" and pythae_vae.installed():
        one = partial(pythae_vae.epoch_seconds, _one_seed(config))
        contestants[PYTHAE] = _per_step(one, *settings[1:])
    say(f"{case.model}, {data.name}, block of {case.seeds}: {', '.join(contestants)}")
    return Measured(
        case=case,
        dataset=data.name,
        batch_size=batch_size,
        steps=steps,
        images=len(data.train),
        plain=plain,
        rounds=alternate(contestants, rounds),
        floor=floor_of(config, data.train.shape[1], device),
        aside=aside,
    )


def _plain_loops(
    case: Case, config: RunConfig, data: Dataset, device: torch.device, steps: int
) -> dict[str, Measure]:
    """The variants to choose from. Where a step takes seconds, the DataLoader's share
    is nothing and another variant costs minutes."""
    slow = device.type == "cpu" and case.dataset == "mnist" and is_heavy(case.model)
    names = loop.VARIANTS[1:] if slow else loop.VARIANTS
    if device.type == "cuda":
        names = (*names, loop.COMPILED)
    return {name: _plain_loop(name, config, data, device, steps) for name in names}


def _plain_loop(
    variant: str, config: RunConfig, data: Dataset, device: torch.device, steps: int
) -> Measure:
    one = partial(loop.epoch_seconds, variant, _one_seed(config))
    return _per_step(one, data, device, steps)


def _one_seed(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"seeds": config.seeds[:1]})


def _per_step(
    epoch_seconds: Callable[[Dataset, torch.device], float],
    data: Dataset,
    device: torch.device,
    steps: int,
    seeds: int = 1,
) -> Measure:
    return lambda: 1e3 * epoch_seconds(data, device) / steps / seeds
