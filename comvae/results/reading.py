"""Reading the CSV and JSON files under `results/`: whole and as described, or refused.

What `read_columns` is asked for must be there. What is loaded is None where it is not
there yet, and kept until its file changes: the caller must not change it. A file that
is damaged raises ResultsError.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.errors import ResultsError
from comvae.files import AGAIN
from comvae.results import paths
from comvae.results.formats import TABLES, Format

LONGEST = 200  # characters of what a library says
CONVERT = {str: str, int: int, float: lambda cell: float(cell or "nan")}

Identity = tuple[str, int, int]  # path, mtime_ns, size
Columns = dict[str, list]
Row = dict[str, Any]


def damaged(path: Path | str, why: object) -> ResultsError:
    """The error that says that a file is damaged, and what helps."""
    flat = " ".join(str(why).split())[:LONGEST]
    return ResultsError(f"{path} is damaged: {flat}; {AGAIN}")


@contextmanager
def noting(problems: list[str]) -> Iterator[None]:
    """Files that cannot be read are noted in `problems`; the rest goes on."""
    try:
        yield
    except ResultsError as error:
        problems.append(str(error))


def load_bytes(path: Path) -> bytes | None:
    """The content of a file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises ResultsError where it is missing."""
    content = load_bytes(path)
    if content is None:
        raise ResultsError(f"{path} is missing")
    return content


def read_columns(path: Path, expected: Format) -> Columns:
    """The columns of a CSV file that `expected` describes and the file has.

    What is empty among numbers is NaN. Raises ResultsError where the file is missing or
    damaged. Its end is missing wherever its last line has no end: cut within a number
    it would still be a number, and another. pandas and pyarrow are slow to set up a
    parser for each of ten thousand small files.
    """
    content = read_bytes(path)
    try:
        if not content.endswith(b"\n"):
            raise ValueError("its last line is cut off" if content else "it is empty")
        columns = _parse(content.decode(), expected)
        keys = list(zip(*(columns[name] for name in expected.key), strict=True))
        if len(set(keys)) < len(keys):
            [(key, _)] = Counter(keys).most_common(1)
            raise ValueError(f"it has two rows for {', '.join(map(str, key))}")
    except (ValueError, csv.Error) as error:
        raise damaged(path, error) from None
    return columns


def _parse(text: str, expected: Format) -> Columns:
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    require_columns([*expected.key, *expected.needed], rows[0])
    if wrong := {len(row) for row in rows} - {len(rows[0])}:
        raise ValueError(f"a row of {wrong.pop()} cells, expected {len(rows[0])}")
    cells = {name: values for name, *values in zip(*rows, strict=True)}
    columns = {}
    for name, kind in expected.types.items():
        if name in cells:
            try:
                columns[name] = [CONVERT[kind](cell) for cell in cells[name]]
            except ValueError as error:
                raise ValueError(f"column `{name}`: {error}") from None
    return columns


def require_columns(needed: Iterable[str], found: Container[str]) -> None:
    """Raises ValueError where a table lacks columns."""
    missing = [f"`{name}`" for name in dict.fromkeys(needed) if name not in found]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")


def rows_of(columns: Columns) -> list[Row]:
    """The rows of a table, each by column."""
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def identity(path: Path) -> Identity | None:
    """What changes whenever a file is written again; None without such a file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    return str(path), status.st_mtime_ns, status.st_size


def kept(maxsize: int) -> Callable[[Callable], Callable]:
    """For a function of a path: None without a file, and what it gave before where the
    file is unchanged. `.anew` is the function itself."""

    def decorate(read: Callable) -> Callable:
        @lru_cache(maxsize)
        def of_file(file: Identity, *more: Any) -> Any:
            return read(Path(file[0]), *more)

        @wraps(read)
        def load(path: Path, *more: Any) -> Any:
            file = identity(path)
            return None if file is None else of_file(file, *more)

        load.anew = read
        return load

    return decorate


@kept(512)  # histories of the blocks of a large study
def load_table(path: Path, expected: Format) -> pd.DataFrame | None:
    """A table with all columns of `expected`, empty where the file has them not."""
    columns = read_columns(path, expected)
    table = pd.DataFrame(columns).astype(
        {name: expected.types[name] for name in columns}
    )
    for name, kind in expected.types.items():
        if name not in table:
            table[name] = "" if kind is str else math.nan
    return table[expected.columns]


@kept(1 << 14)  # records of the blocks of a large study
def load_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a JSON file."""
    try:
        values = json.loads(read_bytes(path))
        if not isinstance(values, dict):
            raise ValueError(f"found a {type(values).__name__}, expected a mapping")
    except ValueError as error:
        raise damaged(path, error) from None
    return values


def load_study_table(study: Path, name: str) -> pd.DataFrame | None:
    """A table in the folder of a study, by its name in TABLES."""
    return load_table(paths.table(study, name), TABLES[name])
