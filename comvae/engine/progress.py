"""Progress of long work: a bar on a terminal, plain lines in a log."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("comvae")

SECONDS_BETWEEN_LINES = 30.0


def start_logging() -> None:
    """Send the project's log messages to standard error, with the time of day."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )


@contextmanager
def progress_shown(
    what: str, doing: str, step: str = "step", every: float = 0.0
) -> Iterator[Callable[[int, int, str], None]]:
    """A callback that is told how much is done, of how much, and what to say of it.

    A bar on a terminal; in a log `doing` at first and then a line for the first `step`,
    for the last, and where `every` seconds have passed since the line before.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        ) as bar:
            task = bar.add_task(what, total=None, text="")

            def show(done: int, total: int, text: str) -> None:
                bar.update(task, completed=done, total=total, text=text)

            yield show
        return
    log.info("%s: %s", what, doing)
    told, clock = -math.inf, time.monotonic()

    def line(done: int, total: int, text: str) -> None:
        nonlocal told, clock
        before, clock = clock, time.monotonic()
        if done in (1, total) or clock - told >= every:
            told, left = clock, (clock - before) * (total - done)
            place = f"{what}: {step} {done}/{total}"
            log.info("%s, %s, %.0f s left", place, text, left)

    yield line


@contextmanager
def epochs_shown(
    what: str, epochs: int, images: int
) -> Iterator[Callable[[int, pd.DataFrame], None]]:
    """A callback for `comvae.engine.training.train` that shows each epoch.

    `images` is the number of images that each seed sees in one epoch.
    """
    doing = f"training for {epochs} epochs"
    with progress_shown(what, doing, "epoch", SECONDS_BETWEEN_LINES) as show:
        clock = time.monotonic()

        def on_epoch(epoch: int, rows: pd.DataFrame) -> None:
            nonlocal clock
            seconds = time.monotonic() - clock
            clock += seconds
            speed = images * len(rows) / seconds
            show(epoch, epochs, f"{_terms(rows)}, {speed:.0f} images/s")

        yield on_epoch


def _terms(rows: pd.DataFrame) -> str:
    """The first seed's terms and the spread of the negative ELBO over seeds."""
    first, elbo = rows.iloc[0], rows["negative_elbo"]
    text = f"{first['reconstruction']:.2f} + {first['latent_kl']:.2f} nats"
    if len(rows) > 1:
        text += f" (seeds {elbo.min():.2f} to {elbo.max():.2f})"
    return text
