"""Signals that ask a long job to stop: it saves its work first."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("comvae")

# a cluster's or a user's wish to end, an interrupt from the keyboard, and the warning
# that Slurm sends before the time limit (slurm/config.yaml)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
EXIT_STATUS = 75  # EX_TEMPFAIL: the same command again goes on where it stopped


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """A function that is true once one of SIGNALS has come.

    A second SIGINT ends the process at once, as without this; a cluster may send its
    signals to a process twice.
    """
    received = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGINT:
            signal.signal(number, before[number])
        log.info("%s: the current step is finished first", signal.Signals(number).name)

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
