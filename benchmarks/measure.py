"""Measure one row: all of its contestants side by side, and the floor."""

import math
import platform
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks import images, loop
from benchmarks.cases import Case, run_config
from benchmarks.floor import floor_of
from benchmarks.harness import alternate, epoch_seconds, say
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.results.weights import device_name, git_commit
from comvae.study.run_config import RunConfig

OURS, PLAIN, PYTHAE, JAX = "comvae", "plain", "pythae", "jax"


def measure(case: Case, device: torch.device, rounds: int) -> dict[str, Any]:
    """A row of the table; docs/performance.md explains its columns.

    A peer takes part where it is installed and has such a model. JAX trains the whole
    block, as comvae does; the others know one seed.
    """
    config = run_config(case)
    one = config.model_copy(update={"seeds": config.seeds[:1]})
    size = config.training.batch_size
    data = images.named(case.dataset, case.steps and case.steps * size)
    contestants = {
        OURS: _timed(train, config, data, device),
        PLAIN: _timed(loop.train, one, data, device),
    }
    if installed(JAX):
        from benchmarks import jax_peer

        if case.model in jax_peer.MODELS:
            contestants[JAX] = _timed(jax_peer.train, config, data, device)
    if case.model == "vanilla" and installed(PYTHAE):
        from benchmarks import pythae_peer

        contestants[PYTHAE] = _timed(pythae_peer.train, one, data, device)
    say(f"{case.model}, {data.name}, block of {case.seeds}: {', '.join(contestants)}")
    floor = floor_of(config, data.train.shape[1], device)
    block = dict(model=case.model, dataset=data.name, pixels=data.train.shape[1])
    block |= dict(seeds=case.seeds, batch_size=size)
    times = row_of(alternate(contestants, rounds), floor)
    speed = 1e3 * len(data.train) / _steps(data, config) / times["ms_per_step_per_seed"]
    return block | times | dict(images_per_second=speed) | circumstances(device)


def row_of(rounds: pd.DataFrame, floor: dict[str, float]) -> dict[str, float]:
    """Medians of the milliseconds per step and seed, and of the rounds' ratios."""
    medians = rounds.median()
    ratios = rounds.div(rounds[OURS], axis=0).median()
    row = {"ms_per_step_per_seed": medians[OURS]}
    for peer in (JAX, PYTHAE, PLAIN):
        row[f"{peer}_ms"] = medians.get(peer, math.nan)
        row[f"ratio_{peer}"] = ratios.get(peer, math.nan)
    return row | floor | dict(ratio_floor=medians[OURS] / floor["floor_ms"])


def circumstances(device: torch.device) -> dict[str, object]:
    """What a row is measured with and on."""
    return {
        "device": device_name(device),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": git_commit(),
        "measured_at": pd.Timestamp.now("UTC").isoformat("T", "seconds"),
    }


def _timed(
    train: Callable[..., object], config: RunConfig, data: Dataset, device: torch.device
) -> Callable[[], float]:
    """Milliseconds per step and seed of `train(config, data, device, on_epoch)`."""

    def once() -> float:
        training = partial(train, config, data, device)
        seconds = epoch_seconds(training, config.training.epochs, device)
        return 1e3 * seconds / _steps(data, config) / len(config.seeds)

    return once


def _steps(data: Dataset, config: RunConfig) -> int:
    return math.ceil(len(data.train) / config.training.batch_size)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def installed(peer: str) -> bool:
    """Whether a peer is here: `make bench` installs them."""
    return find_spec(peer) is not None
