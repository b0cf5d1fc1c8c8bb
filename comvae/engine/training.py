"""Lockstep training: one optimiser step moves all seeds of a block (section 3.1)."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.build import build
from comvae.engine.checkpoints import Checkpoints
from comvae.engine.memory import keep_freed_memory, parts_that_fit, split
from comvae.engine.step import Engine
from comvae.errors import SettingsError, StoppedError
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig

log = logging.getLogger("comvae")

SECONDS_BETWEEN_CHECKPOINTS = 60.0
STEPS_AT_ONCE = 32  # of a small model, between two looks at whether to stop


@dataclass
class Trained:
    """What training a block gives."""

    vae: VAE
    history: pd.DataFrame  # one row per (seed, epoch): the terms, in nats
    seconds: float  # wall time of the block
    failed: dict[int, str] = field(default_factory=dict)  # seed -> why


def train(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, pd.DataFrame], None] = lambda epoch, rows: None,
    state: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every: float = SECONDS_BETWEEN_CHECKPOINTS,
    on_resume: Callable[[pd.DataFrame], None] = lambda history: None,
    start: Trained | None = None,
) -> Trained:
    """Train all seeds of a block in lockstep, as many at a time as fit into memory.

    `on_epoch` is called after every epoch with its number and its rows of the history,
    and `on_resume` with the history so far where training goes on from a checkpoint.
    A seed whose terms become infinite or NaN is listed under `failed` and keeps its
    last good parameters; the others finish.

    Checkpoints go to the folder `state`, if there is one, at most every
    `checkpoint_every` seconds, and training goes on from what is there. Where `stop`
    becomes true, the current step is finished, a checkpoint written and StoppedError
    raised. Raises SettingsError where the last minibatch would be too small.

    `start` is what training the block of `starts_from` gave, of the same seeds: what
    failed there fails here, and its seconds count here too.
    """
    sound = [] if start is None else set(config.seeds).difference(start.failed)
    if start is not None and not (sound and config.options.trains != "nothing"):
        return start
    # Adam's first moment of a pixel that is rarely ink decays to a subnormal number and
    # stays there: on a CPU its arithmetic makes the step up to fifteen times slower.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    device = torch.device(device)
    images, pixels = dataset.train.shape
    _refuse_single_image(config, images)
    held = (dataset.grey or dataset).train.nbytes
    waiting = parts_that_fit(config, pixels, held, device)
    done = []
    while waiting:
        part = waiting[0]
        folder = None if state is None else _part_folder(state, part, config)
        begin = start and _part_of(start, config, part, pixels)
        try:
            done.append(
                _Run(part, dataset, device, folder, checkpoint_every, begin).train(
                    on_epoch, stop, on_resume
                )
            )
        except torch.cuda.OutOfMemoryError:
            if len(part.seeds) == 1:
                raise SettingsError(
                    f"{config.dataset} {config.model}: not even one seed fits into the "
                    "memory of this GPU; use a smaller training.batch_size or "
                    "training.hidden, or a larger GPU"
                ) from None
            half = math.ceil(len(part.seeds) / 2)
            log.info("out of GPU memory: %d seeds at a time from here on", half)
            torch.cuda.empty_cache()
            waiting = [piece for part in waiting for piece in split(part, half)]
            continue
        del waiting[0]
    return done[0] if len(done) == 1 else _joined(config, done, pixels)


class _Run:
    """The training of seeds that are in memory together."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        device: torch.device,
        folder: Path | None,
        checkpoint_every: float,
        start: Trained | None,
    ) -> None:
        self.config, self.every = config, checkpoint_every
        state = None if start is None else start.vae.state_dict()
        self.engine = Engine(config, dataset, device, state)
        self.history: list[pd.DataFrame] = []
        self.failed: dict[int, str] = {}
        self.seconds = 0.0
        if start is not None:
            self.seconds, self.failed = start.seconds, dict(start.failed)
            for seed in self.failed:
                self.engine.stop_seed(config.seeds.index(seed), None)
        self.checkpoints = None
        if folder is not None:
            of = config.hash_at_any_epoch, config.seeds
            self.checkpoints = Checkpoints(folder, *of)
            self._resume()

    def train(
        self,
        on_epoch: Callable[[int, pd.DataFrame], None],
        stop: Callable[[], bool],
        on_resume: Callable[[pd.DataFrame], None],
    ) -> Trained:
        """Train to the last epoch; see the function `train`."""
        if self.history:
            on_resume(self.history[0])
        engine, epochs = self.engine, self.config.training.epochs
        seeds = self.config.seeds
        start = saved = time.perf_counter()
        before = self.seconds
        while engine.epoch < epochs or not engine.epoch_done:
            if engine.epoch_done:
                if len(self.failed) == len(seeds):
                    break
                engine.begin_epoch()
            engine.take_steps(STEPS_AT_ONCE)
            now = time.perf_counter()
            self.seconds = before + now - start
            if engine.epoch_done:
                rows = _rows(seeds, engine)
                self._stop_failed(rows)
                self.history.append(rows)
                on_epoch(engine.epoch, rows)
            stopping = stop()
            if self.checkpoints and (stopping or now - saved >= self.every):
                self.checkpoints.save(*self._state())
                saved = time.perf_counter()
            if stopping:
                raise StoppedError(
                    f"{self.config.dataset} {self.config.model}: stopped in epoch "
                    f"{engine.epoch} of {epochs}; the same command goes on from here"
                )
        # the first epoch that a GPU has queued may still be running
        if engine.device.type == "cuda":
            torch.cuda.synchronize(engine.device)
            self.seconds = before + time.perf_counter() - start
        if self.checkpoints and self.config.training.keep_optimiser:
            self.checkpoints.save_last(*self._state())
        table = pd.concat(self.history).sort_values(
            ["seed", "epoch"], ignore_index=True
        )
        return Trained(engine.vae, table, self.seconds, self.failed)

    def _stop_failed(self, rows: pd.DataFrame) -> None:
        for seed, reason in _not_finite(rows).items():
            if seed in self.failed:
                continue
            self.failed[seed] = f"{reason} in epoch {self.engine.epoch}"
            index = self.config.seeds.index(seed)
            good = self._last_good(index)
            self.engine.stop_seed(index, good)
            log.error(
                "seed %d failed: %s. Its weights are those of %s",
                seed,
                self.failed[seed],
                "its last checkpoint" if good else "its initialisation",
            )

    def _last_good(self, index: int) -> dict[str, Tensor] | None:
        """One seed's part of the model's state in the last checkpoint."""
        checkpoint = self.checkpoints.load() if self.checkpoints else None
        if checkpoint is None:
            return None
        return {
            name.removeprefix("vae."): tensor[index]
            for name, tensor in checkpoint.tensors.items()
            if name.startswith("vae.")
        }

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint holds."""
        engine = self.engine
        if not engine.epoch_done:
            # what has diverged within this epoch must not become the last good state
            self._stop_failed(_rows(self.config.seeds, engine))
        history = pd.concat(self.history) if self.history else pd.DataFrame()
        record = {
            "epoch": engine.epoch,
            "step": engine.step,
            "seconds": self.seconds,
            "failed": {str(seed): why for seed, why in self.failed.items()},
            "history": history.to_dict("list"),
        }
        return engine.state(), record

    def _resume(self) -> None:
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            return
        record = checkpoint.record
        self.engine.load_state(checkpoint.tensors, record["epoch"], record["step"])
        self.seconds = record["seconds"]
        self.failed = {int(seed): why for seed, why in record["failed"].items()}
        if record["history"]:
            self.history = [pd.DataFrame(record["history"])]
        log.info(
            "%s %s: goes on in epoch %d, after %d of %d minibatches",
            self.config.dataset,
            self.config.model,
            self.engine.epoch,
            self.engine.step,
            self.engine.minibatches,
        )


def _part_folder(state: Path, part: RunConfig, whole: RunConfig) -> Path:
    if part.seeds == whole.seeds:
        return state
    return state / ("seeds-" + ",".join(map(str, part.seeds)))


def _part_of(start: Trained, whole: RunConfig, part: RunConfig, pixels: int) -> Trained:
    """What a part of a block starts from."""
    index = [whole.seeds.index(seed) for seed in part.seeds]
    vae, state = build(part, pixels), start.vae.state_dict()
    vae.load_state_dict({name: tensor[index] for name, tensor in state.items()})
    failed = {seed: why for seed, why in start.failed.items() if seed in part.seeds}
    seconds = start.seconds * len(index) / len(whole.seeds)
    return Trained(vae, start.history, seconds, failed)


def _joined(config: RunConfig, parts: list[Trained], pixels: int) -> Trained:
    """The parts of a block as one, in memory of the host."""
    vae = build(config, pixels)
    states = [part.vae.state_dict() for part in parts]
    vae.load_state_dict(
        {name: torch.cat([state[name].cpu() for state in states]) for name in states[0]}
    )
    failed = {seed: why for part in parts for seed, why in part.failed.items()}
    history = pd.concat([part.history for part in parts], ignore_index=True)
    return Trained(vae, history, sum(part.seconds for part in parts), failed)


def _rows(seeds: list[int], engine: Engine) -> pd.DataFrame:
    """The terms of the current epoch so far, one row per seed."""
    columns: dict[str, Any] = {"seed": seeds, "epoch": engine.epoch}
    for term, means in engine.means().items():
        columns[term] = means
        if term == "latent_kl":
            both = zip(columns["reconstruction"], means, strict=True)
            columns["negative_elbo"] = [sum(parts) for parts in both]
    return pd.DataFrame(columns)


def _not_finite(rows: pd.DataFrame) -> dict[int, str]:
    """The first term that is infinite or NaN, by seed."""
    reasons: dict[int, str] = {}
    if np.isfinite(rows.to_numpy()).all():
        return reasons
    for row in rows.to_dict("records"):
        for term, value in row.items():
            if not math.isfinite(value):
                reasons.setdefault(row["seed"], f"{term} is {value}")
    return reasons


def _refuse_single_image(config: RunConfig, images: int) -> None:
    """Batch norm over one image is undefined."""
    options, batch_size = config.options, config.training.batch_size
    normalised = options.batch_norm_maps or options.batch_norm_hidden
    if normalised and images % batch_size == 1:
        raise SettingsError(
            f"training.batch_size: found {batch_size}, which leaves a last minibatch "
            f"of one of the {images} training images, and batch norm needs two; choose "
            "another size"
        )
