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
def epochs_shown(
    what: str, epochs: int, images: int
) -> Iterator[Callable[[int, pd.DataFrame], None]]:
    """A callback for `comvae.engine.training.train` that shows each epoch.

    `images` is the number of images that each seed sees in one epoch.
    """
    console = Console(stderr=True)
    clock = time.monotonic()

    def text(rows: pd.DataFrame) -> str:
        """The terms, and the speed of the epoch that has just ended."""
        nonlocal clock
        seconds = time.monotonic() - clock
        clock += seconds
        return f"{_terms(rows)}, {images * len(rows) / seconds:.0f} images/s"

    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=epochs, terms="")

            def show(epoch: int, rows: pd.DataFrame) -> None:
                bar.update(task, completed=epoch, terms=text(rows))

            yield show
        return
    log.info("%s: training for %d epochs", what, epochs)
    last = -math.inf

    def line(epoch: int, rows: pd.DataFrame) -> None:
        nonlocal last
        before, shown = clock, text(rows)
        if epoch in (1, epochs) or clock - last >= SECONDS_BETWEEN_LINES:
            last, left = clock, (clock - before) * (epochs - epoch)
            log.info(
                "%s: epoch %d/%d, %s, %.0f s left", what, epoch, epochs, shown, left
            )

    yield line


@contextmanager
def stages_shown(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A callback for `evaluation.gap.measure` that shows each stage that is done.

    It is told how many stages are done, how many there are, and the name of the last.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=None, terms="")

            def show(done: int, total: int, stage: str) -> None:
                bar.update(task, completed=done, total=total, terms=stage)

            yield show
        return
    started = time.monotonic()
    log.info("%s: measuring the gaps", what)

    def line(done: int, total: int, stage: str) -> None:
        seconds = time.monotonic() - started
        log.info("%s: %d/%d, %s done after %.1f s", what, done, total, stage, seconds)

    yield line


def _terms(rows: pd.DataFrame) -> str:
    """The first seed's terms and the spread of the negative ELBO over seeds."""
    first, elbo = rows.iloc[0], rows["negative_elbo"]
    text = f"{first['reconstruction']:.2f} + {first['latent_kl']:.2f} nats"
    if len(rows) > 1:
        text += f" (seeds {elbo.min():.2f} to {elbo.max():.2f})"
    return text


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[terms]}"),
        console=console,
    )
