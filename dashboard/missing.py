"""What the pages of the site are made of, read once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from dashboard import data
from dashboard.sections.blocks import Block, Notice
from dashboard.study import Study, datasets_of, load_study

TABLES: dict[str, Callable[[Path], pd.DataFrame | None]] = {
    "table1": data.load_table1,
    "claims": data.load_claims,
    "gaps": data.load_gaps,
    "attribution": data.load_attribution,
    "runs": data.load_runs,
    "cells": data.load_cells,
}


@dataclass(frozen=True)
class Material:
    """A study's results: its tables, and why some of them cannot be read."""

    results: Path
    study: Study
    tables: dict[str, pd.DataFrame | None]
    damaged: dict[str, str]  # by table

    @property
    def datasets(self) -> list[str]:
        """Every dataset that has a row or a run, in the order of the tables."""
        names = datasets_of(
            *(self.tables[name] for name in ("table1", "runs", "cells"))
        )
        return list(
            dict.fromkeys([*names, *(r.dataset for r in self.study.index.runs)])
        )

    @property
    def problems(self) -> list[str]:
        """Every file that cannot be read, and why."""
        return list(dict.fromkeys([*self.study.index.problems, *self.damaged.values()]))

    def of(self, table: str, dataset: str) -> pd.DataFrame | None:
        """The rows of a dataset; None where there is none."""
        rows = self.tables[table]
        here = None if rows is None else rows[rows["dataset"] == dataset]
        return None if here is None or here.empty else here

    def lacking(self, table: str, dataset: str) -> list[Block]:
        """Why a page has no row of a table to show."""
        if table in self.damaged:
            return [Notice(self.damaged[table], warning=True)]
        if self.tables[table] is None:
            text = f"tables/{table}.csv is not written yet: `make study` writes it."
        else:
            text = f"tables/{table}.csv has no row on {dataset}."
        return [Notice(text)]


def load(results: Path) -> Material:
    """Read what the site needs. Raises ResultsError where there is nothing at all."""
    study = load_study(results)
    tables: dict[str, pd.DataFrame | None] = {}
    damaged = {}
    for name, read in TABLES.items():
        try:
            tables[name] = read(results)
        except ResultsError as error:
            tables[name], damaged[name] = None, str(error)
    found = Material(results, study, tables, damaged)
    if not found.datasets and not found.problems:
        raise ResultsError(
            f"{results}: holds no results, expected those of a study; run `make study` "
            "first, or name another folder in COMVAE_RESULTS"
        )
    return found
