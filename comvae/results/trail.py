"""The trail that training leaves while it runs: how far it is, its curves so far.

`progress.json` and `history.csv` lie in the state folder of a block, for whoever wants
to look on, such as the dashboard. A thread of its own writes them, so that a slow disk
slows no training, and a full one stops none.
"""

import datetime
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from comvae.files import write_text
from comvae.study.settings import RunConfig

SECONDS_BETWEEN_WRITES = 2.0
SMOOTHING = 0.8  # of the speed: the weight of what was before
COLUMNS = [
    *("seed", "epoch"),
    *("reconstruction", "latent_kl", "negative_elbo", "weight_kl"),
]


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
            head = ",".join(COLUMNS)
            history = "\n".join([head, *self._lines.values()]) + "\n"
            write_text(folder / "history.csv", history)
            write_text(folder / "progress.json", json.dumps(self._progress(), indent=2))
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
        keys = zip(rows["seed"], rows["epoch"], strict=True)
        text = rows[COLUMNS].to_csv(index=False, header=False)
        self._lines.update(zip(keys, text.splitlines(), strict=True))
        last = came[-1][came[-1]["epoch"] == came[-1]["epoch"].max()]
        self._latest = int(last["epoch"].iloc[0]), sorted(map(int, last["seed"]))

    def _progress(self) -> dict:
        """The content of progress.json."""
        seeds, epochs = self.config.seeds, self.config.training.epochs
        epoch, together = self._latest
        done, speed = len(self._lines), self._speed
        left = (len(seeds) * epochs - done) * self.images
        return {
            "epoch": epoch,
            "epochs": epochs,
            "seeds": seeds,
            "seeds_in_memory": together,
            "done": done / (len(seeds) * epochs),
            "seconds": round(time.monotonic() - self._started, 3),
            "seconds_left": None if speed is None else round(left / speed, 1),
            "images_per_second": None if speed is None else round(speed, 1),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "updated": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        }
