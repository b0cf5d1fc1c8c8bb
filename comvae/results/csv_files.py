"""Reading the CSV files of this project, which are whole or refused."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from comvae.errors import ResultsError


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """The table in a CSV file that pandas wrote; `options` are those of `pd.read_csv`.

    Raises ResultsError where it cannot be read or is not whole. The end of a file is
    missing wherever its last line has no end: cut within a number it would still be
    a number, and another one.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                raise ValueError("it is empty")
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                raise ValueError("its last line is cut off")
        return pd.read_csv(path, **options)
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        flat = " ".join(str(error).split())
        raise ResultsError(f"{path} is damaged: {flat}") from None
