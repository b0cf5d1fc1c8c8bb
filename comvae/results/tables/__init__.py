"""Finished runs -> tidy tables: one row per run, then statistics over the seeds."""

from pathlib import Path

import pandas as pd

from comvae.files import AGAIN, replacing
from comvae.results.claims import CLAIM_COLUMNS, claims_table
from comvae.results.statistics import summary
from comvae.results.tables.attribution import ATTRIBUTION_COLUMNS, attribution
from comvae.results.tables.gaps import (
    GAP_COLUMNS,
    GAP_STATUS_COLUMNS,
    MEASURED,
    add_gaps,
    collect_gaps,
    gaps_table,
)
from comvae.results.tables.paper import TABLE1_COLUMNS, paper_values, table1
from comvae.results.tables.runs import (
    METRICS,
    SPLITS,
    STATUS_COLUMNS,
    TRAINED_COLUMNS,
    collect,
)
from comvae.study.plan import Plan

RUN_COLUMNS = [*TRAINED_COLUMNS, *MEASURED]
CELL_COLUMNS = [*STATUS_COLUMNS, *GAP_STATUS_COLUMNS]

__all__ = [
    "ATTRIBUTION_COLUMNS",
    "CELL_COLUMNS",
    "CLAIM_COLUMNS",
    "GAP_COLUMNS",
    "METRICS",
    "RUN_COLUMNS",
    "SPLITS",
    "TABLE1_COLUMNS",
    "attribution",
    "claims_table",
    "collect",
    "collect_gaps",
    "damages",
    "gaps_table",
    "paper_values",
    "summary",
    "table1",
    "write_tables",
]


def damages(cells: pd.DataFrame) -> list[str]:
    """Why runs are missing in the tables whose files must be made again, each once."""
    reasons = pd.concat([cells["detail"], cells["gap_detail"]]).unique()
    return [reason for reason in reasons if reason.endswith(AGAIN)]


def write_tables(results: Path, plan: Plan) -> dict[str, pd.DataFrame]:
    """Write every table of the study below `results/tables`.

    Whatever is damaged or missing becomes a row that says so; nothing is left out.
    """
    runs, cells = collect(results, plan.blocks)
    gaps, problems = collect_gaps(results, plan, cells)
    runs, cells = add_gaps(runs, cells, gaps, problems)
    tables = {
        "runs": runs,
        "table1": table1(runs),
        "gaps": gaps_table(plan, gaps),
        "attribution": attribution(plan, runs),
        "claims": claims_table(plan, runs),
        "cells": cells,
    }
    for name, table in tables.items():
        with replacing(results / "tables" / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    return tables
