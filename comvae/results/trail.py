"""The trail that training leaves while it runs: how far it is, its curves so far.

`progress.json` and `history.csv` lie in the state folder of a block, for whoever wants
to look on, such as the dashboard. A thread of its own writes them, so that a slow disk
slows no training, and a full one stops none.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from comvae.study.settings import RunConfig

SECONDS_BETWEEN_WRITES = 2.0
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


@contextmanager
def trail_left(
    folder: Path | None,
    config: RunConfig,
    images: int,
    every: float = SECONDS_BETWEEN_WRITES,
) -> Iterator["Trail"]:
    """A trail in `folder` that is written now, at the end, and at most every `every`
    seconds in between; without a folder nothing is.

    `images` is the number of images that each seed sees in one epoch.
    """
    trail = Trail(config, images)
    if folder is None:
        yield trail
        return
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(every):
            trail.write(folder)
        trail.write(folder)

    trail.write(folder)
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield trail
    finally:
        ended.set()
        writer.join()


class Trail:
    """What is known of a training that goes on: consumer of `engine.training.train`."""

    def __init__(self, config: RunConfig, images: int) -> None:
        self.config, self.images = config, images
        self._lock = threading.Lock()  # of the four that follow
        self._came: list[pd.DataFrame] = []  # what is not taken over yet
        self._seen = 0  # images since `_measured`
        self._started = self._measured = self._ended = time.monotonic()
        self._speed: float | None = None  # images per second
        self._columns = COLUMNS
        self._lines: dict[tuple[int, int], str] = {}  # of history.csv, by seed, epoch
        self._latest = (0, config.seeds)  # the last epoch, and whose
        self._unwritten = True

    def resumed(self, history: pd.DataFrame) -> None:
        """Training goes on after these epochs, which an earlier process trained."""
        with self._lock:
            self._came.append(history)
            self._measured, self._seen = time.monotonic(), 0

    def epoch(self, epoch: int, rows: pd.DataFrame) -> None:
        """An epoch has ended, with these rows of the history."""
        with self._lock:
            self._came.append(rows)
            self._seen += self.images * len(rows)
            self._ended = time.monotonic()

    def write(self, folder: Path) -> None:
        """Write what is new to `folder`; what cannot be written is tried again."""
        self._take()
        if not self._unwritten:
            return
        with suppress(OSError):  # a full disk is no reason to stop
            lines = [",".join(self._columns), *self._lines.values()]
            write_text(folder / paths.HISTORY, "\n".join(lines) + "\n")
            progress = self._progress().model_dump_json(indent=2)
            write_text(folder / paths.PROGRESS, progress)
            self._unwritten = False

    def _take(self) -> None:
        """Take over what has come since the last time."""
        with self._lock:
            came, self._came = self._came, []
            if self._seen and self._ended > self._measured:
                now = self._seen / (self._ended - self._measured)
                before = now if self._speed is None else self._speed
                self._speed = SMOOTHING * before + (1 - SMOOTHING) * now
                self._measured, self._seen = self._ended, 0
        if not came:
            return
        rows, self._unwritten = pd.concat(came), True
        self._columns = [name for name in HISTORY.columns if name in rows]
        text = rows[self._columns].to_csv(index=False, header=False)
        keys = zip(rows["seed"], rows["epoch"], strict=True)
        self._lines.update(zip(keys, text.splitlines(), strict=True))
        last = came[-1][came[-1]["epoch"] == came[-1]["epoch"].max()]
        self._latest = int(last["epoch"].iloc[0]), sorted(map(int, last["seed"]))

    def _progress(self) -> Progress:
        seeds, epochs = self.config.seeds, self.config.training.epochs
        epoch, together = self._latest
        done, speed = len(self._lines), self._speed
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
