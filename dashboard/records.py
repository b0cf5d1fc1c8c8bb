"""Where the results come from: datasets, code, libraries, machines, settings."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.errors import ResultsError
from comvae.results.mlflow.failures import without_password
from dashboard import data
from dashboard.values import flat, shown

PLACE = ("dataset", "model", "block")
SAME = {  # what ought to be the same in all blocks, by its name in training.json
    "git_commit": "commit",
    "device": "device",
    "host": "host",
    "threads": "number of threads",
}
MAY_DIFFER = ("device", "host", "threads")  # without a change of the results' meaning
DIRTY = "-dirty"  # the end of a commit with changes that were not committed
PARTS = ("options", "training", "data")  # of run.json
NAMES = ("options.title", "options.control")  # of the model, which set nothing


@dataclass(frozen=True)
class Dataset:
    """What one dataset.json says; checksums are SHA-256, parts such as test-images."""

    name: str
    facts: dict[str, Any]
    published: list[tuple[str, str]]  # checksum and name of each publisher's file
    arrays: list[tuple[str, str]]  # checksum and part of each array
    sources: dict[str, str]  # by part


def load_datasets(results: Path) -> tuple[list[Dataset], list[str]]:
    """The datasets that are there, and what could not be read."""
    found, problems = [], []
    for path in sorted(results.glob("datasets/*/dataset.json")):
        try:
            found.append(_dataset(path, data.load_json(path) or {}))
        except ResultsError as error:
            problems.append(str(error))
    return found, problems


def _dataset(path: Path, record: dict[str, Any]) -> Dataset:
    parts = {}
    for key in ("counts", "files", "arrays", "source"):
        parts[key] = record.get(key)
        if not isinstance(parts[key], dict):
            raise ResultsError(
                f"{path}: found no mapping `{key}`; delete it and run `make study`, "
                "which fetches the dataset again"
            )
    files = [file for file in parts["files"].values() if isinstance(file, dict)]
    size = f"{record.get('height')} x {record.get('width')}"
    facts = {f"images, {split}": count for split, count in parts["counts"].items()}
    facts |= {"pixels": size, "classes": record.get("classes")}
    facts |= {"largest pixel": record.get("pixel_max")}
    facts |= {"changes": record.get("changes") or "none"}
    return Dataset(
        name=str(record.get("title") or path.parent.name),
        facts=facts,
        published=[(str(f.get("sha256")), str(f.get("name"))) for f in files],
        arrays=[(str(found), str(part)) for part, found in parts["arrays"].items()],
        sources={str(part): str(source) for part, source in parts["source"].items()},
    )


def load_blocks(results: Path) -> tuple[pd.DataFrame, list[str]]:
    """What the training of each block recorded, and what could not be read.

    Columns: dataset, model, block, config_hash, those of SAME that are recorded,
    seconds, finished, and one for each library, whose name begins with `version.`.
    """
    files, problems = [], []
    for path in sorted(results.glob("runs/*/*/*/training.json")):
        try:
            file = data.identity(path)
        except ResultsError as error:
            problems.append(str(error))
            continue
        if file is not None:
            files.append(file)
    table, damaged = _read_blocks(tuple(files))
    return table, problems + damaged


@lru_cache(maxsize=2)
def _read_blocks(files: tuple[data.Identity, ...]) -> tuple[pd.DataFrame, list[str]]:
    rows, problems = [], []
    for file in files:
        try:
            rows.append(_block(Path(file[0]), data.load_json(Path(file[0])) or {}))
        except ResultsError as error:
            problems.append(str(error))
    columns = [*PLACE, "config_hash", "seconds", "finished"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    moments = pd.to_datetime(table["finished"], utc=True, errors="coerce")
    table["finished"] = moments.dt.tz_convert(None)
    table["seconds"] = pd.to_numeric(table["seconds"], errors="coerce")
    return table, problems


def _block(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    versions = record.get("versions", {})
    if not isinstance(versions, dict):
        raise ResultsError(
            f"{path}: found a {type(versions).__name__} `versions`, expected a mapping "
            "from libraries to versions; train the block again"
        )
    row = dict(zip(PLACE, path.parts[-4:-1], strict=True))
    row["config_hash"] = str(record.get("config_hash", ""))
    row |= {name: str(record[name]) for name in SAME if name in record}
    row |= {"seconds": record.get("train_seconds"), "finished": None}
    if isinstance(record.get("finished_at"), str):
        row["finished"] = record["finished_at"]
    return row | {f"version.{name}": str(text) for name, text in versions.items()}


def recorded(blocks: pd.DataFrame) -> dict[str, str]:
    """What the blocks were trained with: one value, or each with its blocks."""
    rows = {}
    for column in _recorded(blocks):
        counts = blocks[column].fillna("not recorded").value_counts()
        if len(counts) == 1:
            rows[_name(column)] = str(counts.index[0])
        else:
            rows[_name(column)] = "; ".join(
                f"{value} ({_blocks(count)})" for value, count in counts.items()
            )
    if blocks["finished"].notna().any():
        first, last = blocks["finished"].min(), blocks["finished"].max()
        rows["finished"] = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    return rows


def differences(blocks: pd.DataFrame) -> list[str]:
    """What a reader must know before comparing runs of different blocks."""
    found = []
    for column in _recorded(blocks):
        counts = blocks[column].fillna("not recorded").value_counts()
        if len(counts) > 1 and column not in MAY_DIFFER:
            listed = ", ".join(f"{v} ({_blocks(n)})" for v, n in counts.items())
            found.append(f"Not all runs are of one {_name(column)}: {listed}.")
    if "git_commit" in blocks:
        dirty = int(blocks["git_commit"].str.endswith(DIRTY, na=False).sum())
        if dirty:
            found.append(
                f"{_blocks(dirty)} trained with code that was changed after its commit "
                f"(`{DIRTY}`): no commit holds that code."
            )
    hashes = blocks.groupby(["dataset", "model"], sort=False)["config_hash"].nunique()
    for (dataset, model), count in hashes[hashes > 1].items():
        found.append(
            f"The seeds of {model} on {dataset} were trained with {count} different "
            "settings; `make study` trains those again that are not the study's."
        )
    return found


def _recorded(blocks: pd.DataFrame) -> list[str]:
    versions = [name for name in blocks.columns if name.startswith("version.")]
    return [name for name in SAME if name in blocks] + versions


def _name(column: str) -> str:
    return SAME.get(column) or f"version of {column.removeprefix('version.')}"


def _blocks(count: int) -> str:
    return f"{count} block" if count == 1 else f"{count} blocks"


def load_settings(results: Path) -> tuple[dict[str, str], pd.DataFrame, list[str]]:
    """The resolved settings of all models: those that they share, and the others.

    The others are one row per setting, one column per model. The third is what could
    not be read. One block stands for all of its model and dataset.
    """
    by_model: dict[str, dict[str, str]] = {}
    problems = []
    for path in sorted(results.glob("runs/*/*/*/run.json")):
        model = path.parts[-3]
        if model in by_model:
            continue
        try:
            config = data.load_json(path) or {}
        except ResultsError as error:
            problems.append(str(error))
            continue
        parts = {name: config.get(name) for name in PARTS}
        rows = {name: shown(value) for name, value in flat(parts)}
        by_model[model] = {k: v for k, v in rows.items() if k not in NAMES}
    table = pd.DataFrame(by_model).fillna("not set")
    if table.empty:
        return {}, table, problems
    outer = {name.rpartition(".")[0] for name in table.index}
    table = table[~table.index.isin(outer)]  # not set here, a mapping there
    same = table.nunique(axis=1) == 1
    return dict(table[same].iloc[:, 0]), table[~same], problems


def load_plan(results: Path) -> dict[str, Any]:
    """What study.json says, short; empty where it is not there."""
    plan = data.load_json(results / "study.json")
    if plan is None:
        return {}
    blocks = plan.get("blocks")
    plan = {key: value for key, value in plan.items() if key != "blocks"}
    if isinstance(blocks, list):
        plan["blocks"] = len(blocks)
    if isinstance(plan.get("models"), dict):
        plan["models"] = [str(name) for name in plan["models"]]
    if plan.get("tracking_uri"):
        plan["tracking_uri"] = without_password(str(plan["tracking_uri"]))
    return plan


def files(results: Path) -> list[Path]:
    """What can be saved: tables, reports, the study, and what datasets are made of.

    Not a study.json with the password of an MLflow server.
    """
    patterns = ("tables/*.csv", "report/*.md", "study.json", "datasets/*/dataset.json")
    found = [path for pattern in patterns for path in sorted(results.glob(pattern))]
    return [path for path in found if path.is_file() and not _has_password(path)]


def _has_password(path: Path) -> bool:
    if path.name != "study.json":
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return without_password(text) != text
