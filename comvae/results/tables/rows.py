"""Reading the small CSV files of a block, of which a large study has tens of thousands.

pandas would take most of their time to set up a parser for each.
"""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comvae.errors import ResultsError
from comvae.files import AGAIN


def number(cell: str) -> float:
    """The number in a cell, NaN in an empty one; raises ValueError."""
    return float(cell) if cell else math.nan


def read_rows(
    path: Path, columns: dict[str, Callable[[str], Any]]
) -> list[dict[str, Any]]:
    """The rows of a CSV file that pandas wrote: `columns`, each as its function reads.

    Raises ResultsError where the file is missing, damaged, cut off or without rows.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # a number that is cut off is another number
            raise ValueError("its last line is cut off" if text else "it is empty")
        names, *lines = csv.reader(text.splitlines(), strict=True)
        missing = [name for name in columns if name not in names]
        if missing or not lines:
            raise ValueError(f"it has no {', '.join(missing) or 'rows'}")
        if wrong := {len(line) for line in lines} - {len(names)}:
            raise ValueError(f"a row of {wrong.pop()} cells, expected {len(names)}")
        places = [(name, names.index(name), read) for name, read in columns.items()]
        return [
            {name: read(line[place]) for name, place, read in places} for line in lines
        ]
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise ResultsError(f"{path} is damaged: {error}; {AGAIN}") from None
