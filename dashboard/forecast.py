"""How long the rest of a study may take, from the blocks that are finished."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

import pandas as pd

from comvae.results.trail import Progress as Trail
from dashboard.progress import Progress, Seen
from dashboard.text import duration

Key = tuple[str, str]  # dataset, model


@dataclass(frozen=True)
class Forecast:
    """Seconds of training to come; None where nothing tells them."""

    seconds: float | None
    running: int  # blocks at a time
    to_come: int  # blocks that wait
    guessed: int  # of these, whose model no finished block has on this dataset


def forecast(
    progress: Progress, trails: Mapping[str, Trail | None], runs: pd.DataFrame | None
) -> Forecast:
    """The time left if as many blocks go on side by side as do now.

    `trails` are those of the running blocks by their folder; `runs` is runs.csv.
    """
    running = progress.with_status("running")
    waiting = progress.with_status("waiting", "silent", "stopped")
    known = _seconds_per_seed(progress, runs)
    guesses = [_guess(seen, known) for seen in waiting]
    rest = []
    for seen in running:
        trail = trails.get(seen.folder)
        told = trail and trail.seconds_left
        rest.append(_guess(seen, known)[0] if told is None else told)
    seconds = [guess for guess, _ in guesses] + rest
    total = None
    if running and None not in seconds:
        total = max(sum(seconds) / len(running), *rest)
    return Forecast(
        total,
        len(running),
        len(waiting),
        sum(rough for _, rough in guesses),
    )


def _seconds_per_seed(
    progress: Progress, runs: pd.DataFrame | None
) -> dict[Key, list[float]]:
    """How long one seed took, of every (dataset, model) that has finished ones."""
    found: dict[Key, list[float]] = {}
    if runs is not None and "train_seconds" in runs:
        rows = runs[runs["split"] == "test"]
        seconds = pd.to_numeric(rows["train_seconds"], errors="coerce")
        for key, values in seconds.groupby([rows["dataset"], rows["model"]]):
            finite = [value for value in values if math.isfinite(value)]
            if finite:
                found[key] = finite
    for seen in progress.seen:
        if seen.seconds is not None:
            key = seen.block.dataset, seen.block.model
            found.setdefault(key, []).append(seen.seconds / len(seen.block.seeds))
    return found


def _guess(seen: Seen, known: dict[Key, list[float]]) -> tuple[float | None, bool]:
    """Seconds that a block takes, and whether other models or datasets told them."""
    block, seeds = seen.block, len(seen.block.seeds)
    if values := known.get((block.dataset, block.model)):
        return mean(values) * seeds, False
    values = [x for key, some in known.items() if key[0] == block.dataset for x in some]
    values = values or [x for some in known.values() for x in some]
    return (mean(values) * seeds if values else None), True


def in_words(found: Forecast) -> str:
    """The time left in a sentence or two, or why there is none."""
    if not found.running:
        return "Nothing is training now." if found.to_come else ""
    at_a_time = "one block" if found.running == 1 else f"{found.running} blocks"
    if found.seconds is None:
        return (
            "No time left can be told yet: no block has finished. "
            f"Now {at_a_time} at a time."
        )
    text = f"About {duration(found.seconds)} of training left, {at_a_time} at a time"
    if found.guessed:
        text += (
            f"; a rough guess, since of the {found.to_come} waiting blocks "
            f"{found.guessed} are of models that none has finished yet"
        )
    return f"{text}. Evaluation and gaps come on top."
