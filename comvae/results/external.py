"""Results of others' models: CSV files that are checked and kept, beside ours."""

import csv
import io
import math
from collections.abc import Container
from pathlib import Path

import pandas as pd

from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import Facts
from comvae.datasets.store import read_record
from comvae.errors import ResultsError
from comvae.files import replacing
from comvae.results import paths
from comvae.results.formats import RUNS
from comvae.results.plausible import NATS_PER_PIXEL, Bounds
from comvae.results.quantities import SPLITS, names
from comvae.results.reading import Row, read_bytes
from comvae.study.plan import Plan

NEEDED = ["dataset", "model", "split", "source"]
MEASURED = names(table="runs")
COLUMNS = [*NEEDED, "seed", *MEASURED]
NO_SEED = -1
"""The seed of a row that names none, such as a mean that somebody published."""

Seen = dict[tuple, str]  # where a key of RUNS stands


def add_external(file: Path, results: Path, ours: Container[str]) -> Path:
    """Keep a copy of a file of external results below `results/external`; its path.

    `ours` are the names of our models. The same file again changes nothing. Raises
    ResultsError where the file cannot be used, and OSError where it cannot be written.
    """
    if file.suffix != ".csv":
        raise ResultsError(
            f"{file}: found a name that ends with `{file.suffix}`, expected `.csv`; "
            "save the table as CSV and add that"
        )
    kept, seen = paths.external(results, file.name), {}
    for other in paths.find_external(results):
        if other != kept:
            _read(other, ours, results, seen)
    content = read_bytes(file)
    _read(file, ours, results, seen)
    if kept.exists():
        if read_bytes(kept) != content:
            raise ResultsError(
                f"{file}: found other content than in {kept}, expected a new name or "
                f"the same content; rename the file, or delete {kept} to replace it"
            )
        return kept
    with replacing(kept) as temporary:
        temporary.write_bytes(content)
    return kept


def with_external(runs: pd.DataFrame, results: Path, plan: Plan) -> pd.DataFrame:
    """`runs` and below them the external rows on the plan's datasets, with a source.

    Raises ResultsError for a file that cannot be used.
    """
    seen: Seen = {}
    rows = [
        row
        for file in paths.find_external(results)
        for row in _read(file, plan.models, results, seen)
        if row["dataset"] in plan.datasets
    ]
    return pd.concat([runs, pd.DataFrame(rows)], ignore_index=True) if rows else runs


def _images(results: Path, dataset: str) -> Facts:
    """What a dataset is: one of the registry, or of the user's own that is fetched."""
    record = paths.dataset_record(results, dataset)
    if dataset not in REGISTRY and record.exists():
        return read_record(record.parent)
    if dataset not in REGISTRY:
        raise ValueError(
            f"the dataset `{dataset}`, expected one of {', '.join(REGISTRY)}, or a "
            "fetched one of your own"
        )
    return REGISTRY[dataset]


def _read(file: Path, ours: Container[str], results: Path, seen: Seen) -> list[Row]:
    """The rows of a file, whose keys are added to `seen`."""
    line = 1
    try:
        text = read_bytes(file).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(lines, [])
        _check_header(header)
        rows = []
        for cells in lines:
            line = lines.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, expected {len(header)}")
            texts = (" ".join(cell.split()) for cell in cells)
            row = _row(dict(zip(header, texts, strict=True)), ours, results)
            key = tuple(row[name] for name in RUNS.key)
            if key in seen:
                raise ValueError(
                    f"the row of {seen[key]} again, expected one row for each "
                    f"{', '.join(RUNS.key)}"
                )
            seen[key] = f"{file}, line {line}"
            rows.append(row)
        if not rows:
            raise ValueError("no row, expected one below the names of the columns")
    except UnicodeDecodeError as error:
        raise _unusable(file, line, f"{error}, expected UTF-8") from None
    except csv.Error as error:
        line = lines.line_num
        raise _unusable(file, line, f"no CSV ({error}), expected CSV") from None
    except ValueError as error:
        raise _unusable(file, line, error) from None
    return rows


def _unusable(file: Path, line: int, why: object) -> ResultsError:
    return ResultsError(
        f"{file}, line {line}: found {why}; correct the file and run the same command "
        "again"
    )


def _check_header(header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise ValueError(
                f"the unknown column `{name}`, expected columns among "
                f"{', '.join(COLUMNS)}"
            )
        if header.count(name) > 1:
            raise ValueError(f"the column `{name}` twice, expected it once")
    for name in NEEDED:
        if name not in header:
            raise ValueError(f"no column `{name}`, expected {', '.join(NEEDED)}")


def _row(cells: dict[str, str], ours: Container[str], results: Path) -> Row:
    """A row of RUNS; raises ValueError with what was found and expected."""
    for name in NEEDED:
        if not cells[name]:
            raise ValueError(f"no {name}, expected one in every row")
    images = _images(results, cells["dataset"])
    if cells["split"] not in SPLITS:
        raise ValueError(
            f"the split `{cells['split']}`, expected one of {', '.join(SPLITS)}"
        )
    if cells["model"] in ours:
        raise ValueError(
            f"the model `{cells['model']}`, which is one of this project, expected "
            "the name of another"
        )
    seed = cells.get("seed", "")
    if seed and not (seed.isascii() and seed.isdigit()):
        raise ValueError(f"the seed `{seed}`, expected a whole number or nothing")
    values = {name: _number(name, cells[name]) for name in MEASURED if cells.get(name)}
    if not values:
        raise ValueError(f"no value, expected one of {', '.join(MEASURED)}")
    bounds = Bounds(NATS_PER_PIXEL * images.height * images.width, 0.0)
    if broken := bounds.broken_by(values):
        raise ValueError(f"a value that is {broken}")
    return (
        {name: cells[name] for name in NEEDED}
        | {"seed": int(seed) if seed else NO_SEED}
        | values
    )


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} `{text}`, expected a finite number or nothing")
    return value
