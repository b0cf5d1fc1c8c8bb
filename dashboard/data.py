"""Reading the files under `results/`, whose formats results/README.md describes.

Nothing here imports Streamlit. A file that is not there yet is None; a file that is
damaged raises ResultsError. Files are cached by identity (path, time of change, size).
"""

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.errors import ResultsError

TERMS = ("reconstruction", "latent_kl", "negative_elbo")
GAPS = ("log_px", "elbo", "approximation_gap", "amortization_gap", "inference_gap")
Identity = tuple[str, int, int]  # path, mtime_ns, size


@dataclass(frozen=True)
class Format:
    """The columns that a table must have; `key` columns name each row once."""

    text: tuple[str, ...]
    numbers: tuple[str, ...]
    key: tuple[str, ...]
    remedy: str  # what writes the file again


TABLE1 = Format(
    text=("dataset", "model", "split", "metric"),
    numbers=("mean", "std", "ci_low", "ci_high", "n_seeds", "paper"),
    key=("dataset", "model", "split", "metric"),
    remedy="delete it and run `make study`, which writes the tables again",
)
CELLS = Format(
    text=("dataset", "model", "status", "block", "detail"),
    numbers=("seed",),
    key=("dataset", "model", "seed"),
    remedy=TABLE1.remedy,
)
RUNS = Format(
    text=("dataset", "model", "split"),
    numbers=("seed", *TERMS, *GAPS),
    key=("dataset", "model", "seed", "split"),
    remedy=TABLE1.remedy,
)
GAP_TABLE = Format(
    text=("dataset", "model", "split", "quantity"),
    numbers=(
        *("mean", "ci_low", "ci_high", "n_seeds", "images"),
        *("q05", "q25", "median", "q75", "q95"),
    ),
    key=("dataset", "model", "split", "quantity"),
    remedy=TABLE1.remedy,
)
ATTRIBUTION = Format(
    text=("dataset", "model", "split", "part"),
    numbers=("effect", "ci_low", "ci_high", "n_seeds"),
    key=("dataset", "model", "split", "part"),
    remedy=TABLE1.remedy,
)
CLAIMS = Format(
    text=(
        *("claim", "statement", "dataset", "split", "metric", "definition"),
        *("part_verdict", "verdict"),
    ),
    numbers=("effect", "at_least", "ci_low", "ci_high", "n_seeds"),
    key=("claim", "dataset", "split", "metric", "definition"),
    remedy=TABLE1.remedy,
)
HISTORY = Format(
    text=(),
    numbers=("seed", "epoch", *TERMS, "weight_kl"),
    key=("seed", "epoch"),
    remedy="delete it and run `make study`, which trains this block again",
)
METRICS = Format(
    text=("split", "mode"),
    numbers=("seed", "images", *TERMS, "weight_kl"),
    key=("seed", "split", "mode"),
    remedy="delete it and run `make study`, which evaluates this block again",
)


def results_folder() -> Path:
    """The folder of results: COMVAE_RESULTS, or `results` where the command runs."""
    return Path(os.environ.get("COMVAE_RESULTS") or "results")


def identity(path: Path) -> Identity | None:
    """What changes whenever a file is written again; None without such a file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    return str(path), status.st_mtime_ns, status.st_size


def load_table(path: Path, expected: Format) -> pd.DataFrame | None:
    """The table in a CSV file, or None where it is not there yet.

    The caller must not change it: it is shared. Raises ResultsError for a file that is
    not a table, lacks a column, has text among its numbers, or names a row twice.
    """
    file = identity(path)
    return None if file is None else _read_table(file, expected)


def load_changing_table(path: Path, expected: Format) -> pd.DataFrame | None:
    """What `load_table` gives, of a file that is soon another: it is not kept."""
    file = identity(path)
    return None if file is None else _read_table.__wrapped__(file, expected)


def load_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a JSON file, or None where it is not there yet."""
    file = identity(path)
    return None if file is None else _read_json(file)


def load_bytes(path: Path) -> bytes | None:
    """The content of a file, or None where it is not there yet."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None


def load_table1(results: Path) -> pd.DataFrame | None:
    """Table 1: one row per (dataset, model, split, metric)."""
    return load_table(results / "tables" / "table1.csv", TABLE1)


def load_cells(results: Path) -> pd.DataFrame | None:
    """What became of each run: one row per (dataset, model, seed)."""
    return load_table(results / "tables" / "cells.csv", CELLS)


def load_runs(results: Path) -> pd.DataFrame | None:
    """Every run: one row per (dataset, model, seed, split)."""
    return load_table(results / "tables" / "runs.csv", RUNS)


def load_gaps(results: Path) -> pd.DataFrame | None:
    """The gaps over seeds and images: one row per (dataset, model, split, quantity)."""
    return load_table(results / "tables" / "gaps.csv", GAP_TABLE)


def load_attribution(results: Path) -> pd.DataFrame | None:
    """The parts of each gain over vanilla, positive where they improve the ELBO."""
    return load_table(results / "tables" / "attribution.csv", ATTRIBUTION)


def load_claims(results: Path) -> pd.DataFrame | None:
    """The paper's claims: one row per dataset and part of a claim."""
    return load_table(results / "tables" / "claims.csv", CLAIMS)


@lru_cache(maxsize=512)  # histories of the blocks of a large study
def _read_table(file: Identity, expected: Format) -> pd.DataFrame:
    path = file[0]
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(expected.text, str))
    except pd.errors.EmptyDataError:
        raise ResultsError(
            f"{path}: is empty, expected a table; {expected.remedy}"
        ) from None
    except (OSError, ValueError) as error:  # a ParserError is a ValueError
        raise ResultsError(
            f"{path}: is not a readable CSV table ({_one_line(error)}); "
            f"{expected.remedy}"
        ) from None
    columns = (*expected.text, *expected.numbers)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ResultsError(
            f"{path}: has no column {', '.join(f'`{name}`' for name in missing)}, "
            f"expected {', '.join(columns)}; {expected.remedy}"
        )
    for name in expected.numbers:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = table[name][numbers.isna() & table[name].notna()]
        if len(wrong):
            raise ResultsError(
                f"{path}: column `{name}` holds {str(wrong.iloc[0])[:40]!r}, expected "
                f"numbers; {expected.remedy}"
            )
        table[name] = numbers.astype("float64")
    table[list(expected.text)] = table[list(expected.text)].fillna("")
    twice = table[table.duplicated(list(expected.key))]
    if len(twice):
        row = ", ".join(str(twice.iloc[0][name]) for name in expected.key)
        raise ResultsError(
            f"{path}: holds two rows for {row}, expected one; {expected.remedy}"
        )
    return table


@lru_cache(maxsize=4096)
def _read_json(file: Identity) -> dict[str, Any]:
    path = file[0]
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: is not readable JSON ({_one_line(error)}); delete it and run "
            "`make study`, which writes it again"
        ) from None
    if not isinstance(values, dict):
        raise ResultsError(
            f"{path}: found a {type(values).__name__}, expected a mapping; delete it "
            "and run `make study`, which writes it again"
        )
    return values


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
