"""Which runs there are, where their files lie, and what each file holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.blocks import load_training
from comvae.results.formats import HISTORY, METRICS, Format
from comvae.results.reading import load_bytes, load_json, load_study_table, load_table
from comvae.study.plan import Plan, last_planned, study_folder

Place = tuple[Path, Path]  # the folders of the run and of its evaluation

STATUSES = {
    "finished": "finished",
    "failed": "failed",
    "missing": "missing",
    "evaluated": "trained and evaluated",
    "trained": "trained, not yet evaluated",
    "waiting": "not trained yet",
    "damaged": "damaged",
}


@dataclass(frozen=True)
class Run:
    """One run: a (dataset, model, seed) and the folders of its block."""

    dataset: str
    model: str
    seed: int
    status: str  # a key of STATUSES, or what cells.csv says
    detail: str
    folder: Path | None  # runs/<dataset>/<model>/<hash>/<block>, None without one
    evaluation: Path | None  # evaluations/<dataset>/<model>/<hash>-<hash>/<block>


@dataclass(frozen=True)
class Index:
    """All runs of a study, and the files that could not be read."""

    runs: list[Run]
    titles: dict[str, str]  # by model
    problems: list[str]

    def title(self, model: str) -> str:
        """The model's title, or its name where no run.json tells one."""
        return self.titles.get(model, model)


def load_index(results: Path, study: str = "") -> Index:
    """The runs that a study's cells.csv lists, then those only found as files; of the
    study that was planned last, where none is named.

    The files are those of the plan's blocks; of all blocks, where there is no plan.
    """
    study = study or last_planned(results)
    problems: list[str] = []
    blocks, titles = _blocks(results, study, problems)
    found: dict[tuple[str, str, int], Run] = {}
    try:
        cells = load_study_table(study_folder(results, study), "cells")
    except ResultsError as error:
        problems.append(str(error))
        cells = None
    # plain objects: pandas is slow to hand out the texts of its own columns
    for cell in () if cells is None else cells.astype(object).itertuples():
        key = (cell.dataset, cell.model, cell.seed)
        place = blocks.pop(key, (None, None))
        found[key] = _run(key, place, (cell.status, cell.detail))
    for key in sorted(blocks):
        found[key] = _run(key, blocks[key])
    return Index(list(found.values()), titles, problems)


def _blocks(
    results: Path, study: str, problems: list[str]
) -> tuple[dict[tuple[str, str, int], Place], dict[str, str]]:
    """The folders of every run that has one, and the titles of the models."""
    try:
        plan = Plan.read(results, study)
    except ResultsError:
        return _found(results, problems)
    folders: dict[tuple[str, str, int], Place] = {}
    for block in plan.blocks:
        folder = paths.run_folder(results, block.folder)
        if _config(folder / paths.CONFIG, problems) is None and not folder.is_dir():
            continue
        evaluation = paths.evaluation_folder(results, block.folder, block.measured)
        for seed in block.seeds:
            folders[block.dataset, block.model, seed] = folder, evaluation
    return folders, dict(plan.models)


def _found(
    results: Path, problems: list[str]
) -> tuple[dict[tuple[str, str, int], Place], dict[str, str]]:
    """The same of every block that has a run.json, where there is no plan."""
    folders: dict[tuple[str, str, int], Place] = {}
    titles: dict[str, str] = {}
    for path in paths.find_configs(results):
        dataset, model = path.parts[-5:-3]
        if (config := _config(path, problems)) is None:
            continue
        options = config.get("options")
        if isinstance(options, dict) and isinstance(options.get("title"), str):
            titles.setdefault(model, options["title"])
        seeds = config.get("seeds")
        if not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            problems.append(
                f"{path}: found no list `seeds`, expected the block's seeds"
            )
            continue
        place = paths.place_of(results, path.parent)
        measured = paths.newest_measured(results, place)
        evaluation = paths.evaluation_folder(results, place, measured)
        for seed in seeds:
            folders[dataset, model, seed] = path.parent, evaluation
    return folders, titles


def _config(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """What a run.json holds; None where it is absent, or damaged, which is noted."""
    try:
        return load_json(path)
    except ResultsError as error:
        problems.append(str(error))
        return None


def _run(
    key: tuple[str, str, int],
    place: Place | tuple[None, None],
    told: tuple[str, str] | None = None,
) -> Run:
    """A run with the status and detail that the tables told, else by its files."""
    status, detail = told or _status(*place, key[2])
    return Run(*key, status, detail, *place)


def _status(folder: Path | None, evaluation: Path | None, seed: int) -> tuple[str, str]:
    """Status and detail of a run that the tables do not know yet, from its files."""
    try:
        training = load_training(folder) if folder else None
    except ResultsError as error:
        return "damaged", str(error)
    if training is not None and seed in training.failed:
        return "failed", training.failed[seed]
    if evaluation is not None and (evaluation / paths.METRICS).exists():
        return "evaluated", ""
    if folder is not None and (folder / paths.HISTORY).exists():
        return "trained", ""
    return "waiting", ""


def load_history(run: Run) -> pd.DataFrame | None:
    """The run's training curves: one row per epoch."""
    return _of_seed(run, run.folder, paths.HISTORY, HISTORY)


def load_metrics(run: Run) -> pd.DataFrame | None:
    """The run's evaluation: one row per (split, mode)."""
    return _of_seed(run, run.evaluation, paths.METRICS, METRICS)


def load_picture(run: Run, kind: str) -> bytes | None:
    """The run's picture of a kind, `reconstructions` or `samples`, as a PNG file."""
    if run.evaluation is None:
        return None
    return load_bytes(paths.picture(run.evaluation, run.seed, kind))


def load_settings(run: Run) -> dict[str, Any] | None:
    """The resolved config of the run's block."""
    return None if run.folder is None else load_json(run.folder / paths.CONFIG)


def load_provenance(run: Run) -> dict[str, Any] | None:
    """Where, when and with what the run's block was trained."""
    return None if run.folder is None else load_json(run.folder / paths.TRAINING)


def _of_seed(
    run: Run, folder: Path | None, name: str, expected: Format
) -> pd.DataFrame | None:
    table = None if folder is None else load_table(folder / name, expected)
    if table is None:
        return None
    rows = table[table["seed"] == run.seed].reset_index(drop=True)
    return rows if len(rows) else None
