"""How long the rest of a study may take, from the blocks that are finished."""

from collections.abc import Mapping

import pandas as pd

from comvae.results.standing import Standing
from comvae.results.trail import Progress as Trail
from comvae.study.plan import Block
from dashboard.text import counted, duration


def forecast(
    progress: Standing, trails: Mapping[str, Trail | None], runs: pd.DataFrame | None
) -> str:
    """The time left in words, if as many blocks go on side by side as do now; empty
    where none is left.

    `trails` are those of the running blocks by their folder; `runs` is runs.csv.
    """
    running = progress.with_status("running")
    waiting = progress.with_status("waiting", "silent", "stopped")
    if not running:
        return "Nothing is training now." if waiting else ""
    known = _seconds_per_seed(progress, runs)
    now, later = [], [_guess(seen.block, known) for seen in waiting]
    for seen in running:
        trail = trails.get(seen.folder)
        told = trail and trail.seconds_left
        now.append(_guess(seen.block, known) if told is None else told)
    at_a_time = f"{counted(len(running), 'block')} at a time"
    if None in now + later:
        return f"No time left can be told yet: no block has finished. Now {at_a_time}."
    seconds = max(sum(now + later) / len(running), *now)
    return (
        f"About {duration(seconds)} of training left, {at_a_time}. Evaluation and gaps "
        "come on top."
    )


def _seconds_per_seed(progress: Standing, runs: pd.DataFrame | None) -> pd.DataFrame:
    """How long one seed took: dataset, model, train_seconds of every finished one."""
    rows = [
        (seen.block.dataset, seen.block.model, seen.seconds / len(seen.block.seeds))
        for seen in progress.seen
        if seen.seconds is not None
    ]
    known = pd.DataFrame(rows, columns=["dataset", "model", "train_seconds"])
    if runs is not None and "train_seconds" in runs:
        known = pd.concat([known, runs.loc[runs["split"] == "test", list(known)]])
    return known.dropna()


def _guess(block: Block, known: pd.DataFrame) -> float | None:
    """Seconds that a block takes: by its model and dataset, by its dataset, by all."""
    here = known[known["dataset"] == block.dataset]
    for rows in (here[here["model"] == block.model], here, known):
        if len(rows):
            return rows["train_seconds"].mean() * len(block.seeds)
    return None
