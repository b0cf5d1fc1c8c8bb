"""How far every block of a study is, told by which files there are.

The tables are written at the end of a study, so what goes on before is read from the
folders: the names in them, and the records of blocks that the tables do not know yet.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.blocks import load_training
from comvae.results.formats import HISTORY
from comvae.results.reading import load_study_table, load_table, noting
from comvae.study.plan import (
    PLAN,
    Block,
    Plan,
    last_planned,
    parse_seeds,
    study_folder,
)

SILENT = 60.0  # seconds without a sign of life; a living block gives one every ten
WORDS = {  # in the order in which they are counted
    "finished": "finished",
    "running": "running",
    "trained": "trained but not evaluated",
    "failed": "failed",
    "damaged": "damaged",
    "missing": "missing",
    "waiting": "waiting",
}


@dataclass(frozen=True)
class Seen:
    """A block and what its files tell."""

    block: Block
    folder: str  # below `runs`
    status: str  # trained, running, silent, stopped or waiting
    alive: float | None = None  # the last sign of life in `state/`, seconds since 1970
    trained: float | None = None  # when, seconds since 1970
    cells: dict[int, str] = field(default_factory=dict)  # seed -> a key of WORDS
    measured: int = 0  # seeds whose gaps are measured
    seconds: float | None = None  # of training, where it was read


@dataclass(frozen=True)
class Standing:
    """All blocks of a study, and the files that could not be read."""

    seen: list[Seen]
    problems: list[str]

    def on(self, dataset: str) -> "Standing":
        """The part of one dataset."""
        here = [seen for seen in self.seen if seen.block.dataset == dataset]
        return Standing(here, self.problems)

    def counts(self) -> dict[str, int]:
        """How many runs there are of each of WORDS, the absent left out."""
        words = [word for seen in self.seen for word in seen.cells.values()]
        return {word: words.count(word) for word in WORDS if word in words}

    def with_status(self, *statuses: str) -> list[Seen]:
        """The blocks of these statuses."""
        return [seen for seen in self.seen if seen.status in statuses]


def look(results: Path, study: str = "") -> Standing:
    """How far a study, or the one planned last, is by the files as they are now."""
    problems: list[str] = []
    study = study or last_planned(results)
    known, written = _cells(study_folder(results, study))
    blocks = _planned(results, study, problems)
    seen = [_look(results, block, known, written, problems) for block in blocks]
    if not any(block.status == "running" for block in seen):
        for block in seen:  # no job will come: the tables say that it was lost
            for seed, word in block.cells.items():
                lost = known.get(_key(block.block, seed)) == "missing"
                if word == "waiting" and lost:
                    block.cells[seed] = "missing"
    return Standing(seen, problems)


def _planned(results: Path, study: str, problems: list[str]) -> list[Block]:
    """The blocks of the plan; without a readable one, those that have a folder."""
    if (study_folder(results, study) / PLAN).exists():
        with noting(problems):
            return Plan.read(results, study).blocks
    found = []
    for folder in sorted(results.glob("runs/*/*/*/seeds-*")):
        with suppress(ValueError):  # a folder that the study did not name
            dataset, model, address = folder.parts[-4:-1]
            seeds = parse_seeds(folder.name)
            measured = paths.newest_measured(results, Path(*folder.parts[-4:]))
            found.append(Block(dataset, model, seeds, address, measured))
    return found


def _look(
    results: Path,
    block: Block,
    known: dict[tuple[str, str, int], str],
    written: int,
    problems: list[str],
) -> Seen:
    # paths as text: those of ten thousand blocks take Path longer than the disk
    address = f"{block.dataset}/{block.model}/{block.config_hash}"
    folder = f"{results}/runs/{address}/{block.name}"
    evaluation = f"{results}/evaluations/{address}-{block.measured}/{block.name}"
    changed = _mtime(f"{folder}/training.json")
    status, alive = _status(folder, changed is not None)
    if changed is None or status != "trained":
        word = "running" if status == "running" else "waiting"
        cells = dict.fromkeys(block.seeds, word)
        return Seen(block, folder, status, alive=alive, cells=cells)
    evaluated = _mtime(f"{evaluation}/metrics.csv")
    gaps = _mtime(f"{evaluation}/gaps.parquet") is not None
    failed, seconds, word = {}, None, "trained" if evaluated is None else "finished"
    cells = {seed: known.get(_key(block, seed), "") for seed in block.seeds}
    newer = max(changed, evaluated or written + 1) > written
    if newer or not all(word in WORDS for word in cells.values()):
        training = None
        with noting(problems):
            training = load_training(Path(folder))
            failed, seconds = training.failed, training.train_seconds
        word = "damaged" if training is None else word
        cells = {seed: "failed" if seed in failed else word for seed in block.seeds}
    return Seen(
        block,
        folder,
        status,
        trained=changed / 1e9,
        cells=cells,
        measured=sum(word == "finished" for word in cells.values()) if gaps else 0,
        seconds=seconds,
    )


def _status(folder: str, trained: bool) -> tuple[str, float | None]:
    """What the block does, and the last sign of life where it trains."""
    lock = _mtime(f"{folder}/state/lock.json")
    alive = None
    if lock is not None:
        alive = max(lock, _mtime(f"{folder}/state/progress.json") or 0) / 1e9
        if time.time() - alive <= SILENT:
            return "running", alive
    if trained:
        return "trained", None
    if alive is not None:
        return "silent", alive
    try:
        return ("stopped" if os.listdir(f"{folder}/state") else "waiting"), None
    except OSError:
        return "waiting", None


def _cells(study: Path) -> tuple[dict[tuple[str, str, int], str], int]:
    """The status of each run in cells.csv, and when that was written."""
    cells = None
    with noting([]):  # the pages that show the table say so
        cells = load_study_table(study, "cells")
    if cells is None:
        return {}, 0
    rows = cells.dropna(subset="seed")
    keys = zip(rows["dataset"], rows["model"], rows["seed"].astype(int), strict=True)
    written = _mtime(str(paths.table(study, "cells"))) or 0
    return dict(zip(keys, rows["status"], strict=True)), written


def _key(block: Block, seed: int) -> tuple[str, str, int]:
    return block.dataset, block.model, seed


def _mtime(path: str) -> int | None:
    """When a file was written, in nanoseconds since 1970; None without it."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def reasons(seen: Seen) -> dict[int, str]:
    """Why seeds of a trained block failed, also where the tables told that they did."""
    if "failed" not in seen.cells.values():
        return {}
    try:
        failed = load_training(Path(seen.folder)).failed
    except ResultsError as error:
        failed = dict.fromkeys(seen.cells, str(error))
    return {s: failed.get(s, "") for s, word in seen.cells.items() if word == "failed"}


def histories(seen: Iterable[Seen]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The epochs that each block has ended, by its folder, and what is damaged."""
    found, problems = {}, []
    for one in seen:
        path = Path(one.folder, paths.STATE, paths.HISTORY)
        if path.exists():  # else it has just finished
            with noting(problems):
                history = load_table.anew(path, HISTORY)
                if len(history):
                    found[str(one.block.folder)] = history
    return found, problems
