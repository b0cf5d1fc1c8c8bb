"""What every benchmark does: contestants in alternation (A B C, B C A), and a file."""

import gc
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch

from benchmarks.cases import ROOT

FOLDER = ROOT / "results" / "benchmarks"


def alternate(
    contestants: Mapping[str, Callable[[], object]], rounds: int
) -> pd.DataFrame:
    """What every contestant measures, anew in each round: one row per round, one column
    per contestant. Each round starts with another one."""
    names, measured = list(contestants), []
    for number in range(rounds):
        first, found = number % len(names), {}
        for name in names[first:] + names[:first]:
            gc.collect()  # the memory that the one before has left
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            found[name] = contestants[name]()
        measured.append(found)
    return pd.DataFrame(measured, columns=names)


def epoch_seconds(
    train: Callable[[Callable[..., None]], object], epochs: int, device: torch.device
) -> float:
    """Mean seconds of an epoch without the first one, which warms up.

    `train` calls what it is given at the end of each of its `epochs`. Raises
    RuntimeError where it calls it another number of times.
    """
    moments: list[float] = []

    def mark(*_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        moments.append(perf_counter())

    train(mark)
    if len(moments) != epochs:
        raise RuntimeError(
            f"{len(moments)} of {epochs} epochs ended: training broke off"
        )
    return (moments[-1] - moments[0]) / (epochs - 1)


def say(line: str) -> None:
    """Print a line of progress with the time."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def write(what: str, frame: pd.DataFrame) -> Path:
    """Write <host><what>.csv, with six digits of each number; returns its path.

    Rows of devices that `frame` has none of stay, where there is a column `device`.
    """
    host = re.sub(r"[^\w.-]+", "-", platform.node()) or "host"
    path = FOLDER / f"{host}{what}.csv"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if "device" in frame and path.exists():
        before = pd.read_csv(path)
        kept = before[~before["device"].isin(frame["device"])]
        frame = pd.concat([kept, frame]) if len(kept) else frame
    frame.to_csv(path, index=False, float_format="%.6g")
    return path
