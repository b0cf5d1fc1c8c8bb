"""The study to read, on a terminal and as Markdown: Table 1, the gaps, the claims."""

from pathlib import Path

import pandas as pd
from rich.console import Console

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.results.csv_files import read_csv
from comvae.results.report.claims import claims_page
from comvae.results.report.gaps import gaps_page
from comvae.results.report.layout import WIDTH, Page, Section
from comvae.results.report.table1 import table1_page
from comvae.study.plan import Plan


def read_table(results: Path, name: str) -> pd.DataFrame:
    """A table below `results/tables`; raises ResultsError."""
    path = results / "tables" / f"{name}.csv"
    try:
        return read_csv(path, keep_default_na=False, na_values=[""])
    except ResultsError as error:
        raise ResultsError(f"{error}; `comvae tables` writes it anew") from None


def write_report(results: Path, plan: Plan) -> dict[str, Path]:
    """Write `report/{table1,gaps,claims}.md`, and return their paths by name.

    Raises ResultsError where tables are missing.
    """
    paths = {}
    for page in _pages(results, plan):
        paths[page.name] = results / "report" / f"{page.name}.md"
        write_text(paths[page.name], page.markdown())
    return paths


def print_report(results: Path, plan: Plan, console: Console | None = None) -> None:
    """Print Table 1, the gaps, the claims, and where to look next."""
    console = console or Console()
    console.width = max(console.width, WIDTH)
    for page in _pages(results, plan):
        page.print(console)
    cells = read_table(results, "cells")
    for what, missing in (("", _unfinished(cells)), ("gaps ", _unmeasured(cells))):
        for cell in missing.itertuples():
            console.print(
                f"{what}{cell.status}: {cell.dataset} {cell.model} seed {cell.seed}: "
                f"{cell.detail}",
                style="red",
                markup=False,
            )
    console.print(
        f"Tables: {results / 'tables'}   Report: {results / 'report'}\n"
        "Compare variants: make dashboard   Query single runs: make mlflow"
    )


def _pages(results: Path, plan: Plan) -> list[Page]:
    names = ("table1", "gaps", "attribution", "claims", "cells")
    tables = {name: read_table(results, name) for name in names}
    pages = [
        table1_page(plan, tables["table1"]),
        gaps_page(plan, tables["gaps"], tables["attribution"]),
        claims_page(plan, tables["claims"]),
    ]
    absent = (
        ("Not finished", _unfinished(tables["cells"])),
        ("Not measured", _unmeasured(tables["cells"])),
    )
    for page, (heading, missing) in zip(pages, absent, strict=False):
        if len(missing):
            page.sections.append(
                Section(heading, missing.fillna("").astype(str), printed=False)
            )
    return pages


def _unfinished(cells: pd.DataFrame) -> pd.DataFrame:
    """The runs that did not finish, with the reason."""
    columns = ["dataset", "model", "seed", "status", "block", "detail"]
    return cells.loc[cells["status"] != "finished", columns]


def _unmeasured(cells: pd.DataFrame) -> pd.DataFrame:
    """The finished runs whose gaps are missing, with the reason."""
    missing = cells[cells["gap"] == "missing"]
    return missing[["dataset", "model", "seed", "block"]].assign(
        status=missing["gap"], detail=missing["gap_detail"]
    )
