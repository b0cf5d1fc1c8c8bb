"""The trail that training leaves while it runs: how far it is, its curves so far.

`progress.json` and `history.csv` lie in the state folder of a block, for whoever wants
to look on, such as the dashboard.
"""

import math
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.results import paths
from comvae.results.formats import HISTORY
from comvae.results.quantities import QUANTITIES
from comvae.results.reading import load_bytes
from comvae.study.run_config import RunConfig

SECONDS_BETWEEN_WRITES = 2.0
WAITED_FOR = 50  # as many times longer than it takes it is not written again
SMOOTHING = 0.8  # of the speed: the weight of what was before
COLUMNS = [
    name
    for name in HISTORY.columns
    if name not in QUANTITIES or not QUANTITIES[name].optional
]
"""Of a history.csv without a row; from the first one on, those of the history."""


def _sensible(value: object) -> float | None:
    """A number that is none of inf, NaN and the negative ones; else None."""
    if type(value) in (int, float) and math.isfinite(value) and value >= 0:
        return float(value)
    return None


Speed = Annotated[float | None, BeforeValidator(_sensible)]


class Progress(BaseModel):
    """`progress.json`: how far a training is, and where it runs."""

    epoch: int  # the last one, of the seeds in memory
    epochs: int
    seeds: list[int] = []
    seeds_in_memory: list[int]
    done: float = Field(ge=0, le=1)  # over all seeds
    seconds: float = 0.0
    seconds_left: Speed = None
    images_per_second: Speed = None
    host: str
    pid: int
    job: str = ""  # of Slurm
    updated: str = ""


def load_progress(run: Path) -> Progress | None:
    """How far the training in the folder of a run is; None where none goes on.

    Raises ResultsError for a damaged file.
    """
    path = run / paths.STATE / paths.PROGRESS
    content = load_bytes(path)
    try:
        return None if content is None else Progress.model_validate_json(content)
    except ValidationError as error:
        flat = " ".join(str(error).split())[:200]
        raise ResultsError(
            f"{path} is damaged: {flat}; training writes it again after its next epoch"
        ) from None


class Trail:
    """What is known of a training that goes on: consumer of `engine.training.train`.

    It is written to `folder` now, at most every `every` seconds while epochs end, and
    whenever `write` is called. `images` is the number of images that each seed sees in
    one epoch.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        images: int,
        every: float = SECONDS_BETWEEN_WRITES,
    ) -> None:
        self.folder, self.every = folder, every
        self.config, self.images = config, images
        self._history: list[pd.DataFrame] = []
        self._seen = 0  # images since `_measured`
        self._started = self._measured = self._ended = self._due = time.monotonic()
        self._speed: float | None = None  # images per second
        self._latest = (0, config.seeds)  # the last epoch, and whose
        self.write()

    def resumed(self, history: pd.DataFrame) -> None:
        """Training goes on after these epochs, which an earlier process trained."""
        last = int(history["epoch"].max())
        seeds = history.loc[history["epoch"] == last, "seed"].tolist()
        self._history, self._latest = [*self._history, history], (last, seeds)
        self._measured, self._seen = time.monotonic(), 0

    def epoch(self, epoch: int, rows: pd.DataFrame) -> None:
        """An epoch has ended, with these rows of the history."""
        self._history.append(rows)
        self._seen += self.images * len(rows)
        self._latest = epoch, rows["seed"].tolist()
        self._ended = time.monotonic()
        if self._ended >= self._due:
            self.write()

    def write(self) -> None:
        """Write what is known; a full disk is no reason to stop, nor a slow one to
        wait for long."""
        now = time.monotonic()
        if self._seen and self._ended > self._measured:
            speed = self._seen / (self._ended - self._measured)
            before = speed if self._speed is None else self._speed
            self._speed = SMOOTHING * before + (1 - SMOOTHING) * speed
            self._measured, self._seen = self._ended, 0
        table = pd.DataFrame(columns=COLUMNS)
        if self._history:
            key = ["epoch", "seed"]
            table = pd.concat(self._history).drop_duplicates(key, keep="last")
            self._history = [table.sort_values(key)]
            table = self._history[0].filter(HISTORY.columns)
        with suppress(OSError):
            write_text(self.folder / paths.HISTORY, table.to_csv(index=False))
            progress = self._progress(len(table)).model_dump_json(indent=2)
            write_text(self.folder / paths.PROGRESS, progress)
        spent = time.monotonic() - now
        self._due = now + max(self.every, WAITED_FOR * spent)

    def _progress(self, done: int) -> Progress:
        seeds, epochs = self.config.seeds, self.config.training.epochs
        (epoch, together), speed = self._latest, self._speed
        left = (len(seeds) * epochs - done) * self.images
        return Progress(
            epoch=epoch,
            epochs=epochs,
            seeds=seeds,
            seeds_in_memory=together,
            done=min(1.0, done / (len(seeds) * epochs)),
            seconds=round(time.monotonic() - self._started, 3),
            seconds_left=None if speed is None else round(left / speed, 1),
            images_per_second=None if speed is None else round(speed, 1),
            host=socket.gethostname(),
            pid=os.getpid(),
            job=os.environ.get("SLURM_JOB_ID", ""),
            updated=datetime.now(UTC).isoformat("T", "seconds"),
        )
