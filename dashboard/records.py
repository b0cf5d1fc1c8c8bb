"""What the results record of datasets, code, libraries, machines and settings."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.results import paths
from comvae.results import reading as data
from comvae.results.index import Run
from comvae.results.reading import noting
from comvae.study.passwords import has_password, without_password
from comvae.study.plan import PLAN
from dashboard.text import counted, flat, shown

PLACE = ["dataset", "model", "block"]
CODE = "git_commit"
MACHINES = ["device", "host", "threads"]  # no result means another thing on another
NUMBERS = ["parameters", "train_seconds"]
VERSION = "versions."  # the beginning of the columns of libraries
DIRTY = "-dirty"  # the end of a commit with changes that were not committed
PARTS = ["options", "training", "data"]  # of run.json
NAMES = ["options.title", "options.control", "options.reading_of"]  # set nothing


def _read_each(
    files: Iterable[Path], problems: list[str]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every JSON file that is there, with its content; notes the damaged ones."""
    for path in sorted(files):
        with noting(problems):
            if (content := data.load_json(path)) is not None:
                yield path, content


def _folders(runs: Iterable[Run]) -> set[Path]:
    """The folders of the blocks of some runs."""
    return {run.folder for run in runs if run.folder is not None}


def load_datasets(results: Path) -> tuple[dict[str, dict], list[str]]:
    """The dataset.json of each dataset, and what could not be read."""
    problems: list[str] = []
    found = _read_each(results.glob("datasets/*/dataset.json"), problems)
    return {path.parent.name: record for path, record in found}, problems


def load_blocks(runs: Iterable[Run]) -> tuple[pd.DataFrame, list[str]]:
    """What the training of each block of `runs` recorded, and what could not be read.

    Columns: dataset, model, block, config_hash, git_commit, MACHINES, NUMBERS,
    finished, and one for each library, whose name begins with VERSION.
    """
    rows, problems = [], []
    files = (folder / paths.TRAINING for folder in _folders(runs))
    for path, record in _read_each(files, problems):
        place = path.parts[-5], path.parts[-4], path.parts[-2]
        row = dict(zip(PLACE, place, strict=True)) | dict(flat(record))
        rows.append(row | {"finished": record.get("finished_at")})
    columns = [*PLACE, "config_hash", CODE, *MACHINES, *NUMBERS, "finished"]
    table = pd.DataFrame(rows)
    versions = [name for name in table if name.startswith(VERSION)]
    table = table.reindex(columns=[*columns, *versions])
    for name in NUMBERS:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    for name in ["config_hash", CODE, *MACHINES, *versions]:
        table[name] = table[name].map(str, na_action="ignore")
    moments = pd.to_datetime(table["finished"], utc=True, errors="coerce")
    return table.assign(finished=moments.dt.tz_convert(None)), problems


def of_code(blocks: pd.DataFrame) -> list[str]:
    """The columns that ought to be the same in all blocks: commit and libraries."""
    return [CODE, *(name for name in blocks if name.startswith(VERSION))]


def recorded(blocks: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """What the blocks were trained with: one value, or each with its blocks."""
    rows = {}
    for column in columns:
        if blocks[column].notna().any():
            counts = blocks[column].fillna("not recorded").value_counts()
            several = [f"{v} ({counted(n, 'block')})" for v, n in counts.items()]
            one = [str(counts.index[0])]
            rows[title_of(column)] = "; ".join(several if len(counts) > 1 else one)
    return rows


def finished(blocks: pd.DataFrame) -> str | None:
    """When the blocks were trained; None where no time is recorded."""
    first, last = blocks["finished"].min(), blocks["finished"].max()
    if pd.isna(first):
        return None
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def differences(blocks: pd.DataFrame) -> list[str]:
    """What a reader must know before comparing runs of different blocks."""
    found = [
        f"Not all runs are of one {name}: {values.replace('; ', ', ')}."
        for name, values in recorded(blocks, of_code(blocks)).items()
        if "; " in values
    ]
    dirty = int(blocks[CODE].str.endswith(DIRTY, na=False).sum())
    if dirty:
        found.append(
            f"{counted(dirty, 'block')} trained with code that was changed after its "
            f"commit (`{DIRTY}`): no commit holds that code."
        )
    return found


def title_of(column: str) -> str:
    """What a column of `load_blocks` is called on a page."""
    if column.startswith(VERSION):
        return f"version of {column.removeprefix(VERSION)}"
    return {CODE: "commit", "train_seconds": "training, s"}.get(column, column)


def load_settings(runs: Iterable[Run]) -> dict[str, dict[str, str]]:
    """The resolved settings of each model, as text by name; what is damaged left out.

    One block stands for all of its model and dataset.
    """
    by_model: dict[str, dict[str, str]] = {}
    # the index has noted what is damaged
    files = (folder / paths.CONFIG for folder in _folders(runs))
    for path, config in _read_each(files, []):
        by_model.setdefault(path.parts[-4], settings_of(config))
    return by_model


def settings_of(config: dict[str, Any]) -> dict[str, str]:
    """The settings of a run.json as text, by name."""
    parts = {name: config.get(name) for name in PARTS}
    return {k: shown(value) for k, value in flat(parts) if k not in NAMES}


def compared(
    settings: dict[str, dict[str, str]],
) -> tuple[dict[str, str], pd.DataFrame]:
    """The settings that all have in common, and a row for each of the others."""
    table = pd.DataFrame(settings).fillna("not set")
    if table.empty:
        return {}, table
    outer = {name.rpartition(".")[0] for name in table.index}
    table = table[~table.index.isin(outer)]  # not set here, a mapping there
    same = table.nunique(axis=1) == 1
    return dict(table[same].iloc[:, 0]), table[~same]


def plan_in_short(plan: dict[str, Any]) -> dict[str, Any]:
    """What study.json says, without its blocks and without a password."""
    short = {key: value for key, value in plan.items() if key != "blocks"}
    if isinstance(plan.get("blocks"), list):
        short["blocks"] = len(plan["blocks"])
    if isinstance(plan.get("models"), dict):
        short["models"] = list(plan["models"])
    if plan.get("tracking_uri"):
        short["tracking_uri"] = without_password(str(plan["tracking_uri"]))
    return short


def files(results: Path, study: Path) -> list[str]:
    """What can be saved: tables, reports, the study, and what datasets are made of.

    Paths below the folder of the study or below `results`, without a study.json with
    the password of an MLflow server.
    """
    places = [(study, "tables/*.csv"), (study, "report/*.md"), (study, PLAN)]
    places += [(results, "datasets/*/dataset.json")]
    found = [
        str(path.relative_to(folder))
        for folder, pattern in places
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]
    plan = study / PLAN
    if PLAN in found and has_password(plan.read_text("utf-8", errors="replace")):
        found.remove(PLAN)
    return found
