"""The study to read, on a terminal and as Markdown: Table 1, the gaps, the claims."""

from pathlib import Path

import pandas as pd
from rich.console import Console

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.results import paths
from comvae.results.formats import STATUS
from comvae.results.reading import load_study_table
from comvae.results.report.layout import WIDTH, Page, Section
from comvae.results.report.pages import claims_page, gaps_page, table1_page
from comvae.study.plan import Plan


def read_table(results: Path, name: str) -> pd.DataFrame:
    """A table below `results/tables`; raises ResultsError."""
    try:
        table = load_study_table(results, name)
    except ResultsError as error:
        raise ResultsError(f"{error}, or write it with `comvae tables`") from None
    if table is None:
        path = paths.table(results, name)
        raise ResultsError(f"{path} is missing; write it with `comvae tables`")
    return table


def write_report(results: Path, plan: Plan) -> dict[str, Path]:
    """Write `report/{table1,gaps,claims}.md`, and return their paths by name.

    Raises ResultsError where tables are missing.
    """
    written = {}
    for page in _pages(results, plan):
        written[page.name] = paths.report(results, page.name)
        write_text(written[page.name], page.markdown())
    return written


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
    table1, gaps, attribution, claims, cells = (
        read_table(results, name)
        for name in ("table1", "gaps", "attribution", "claims", "cells")
    )
    pages = [
        table1_page(plan, table1),
        gaps_page(plan, gaps, attribution),
        claims_page(plan, claims),
    ]
    absent = {"Not finished": _unfinished(cells), "Not measured": _unmeasured(cells)}
    for page, (heading, missing) in zip(pages, absent.items(), strict=False):
        if len(missing):
            shown = missing.astype(str)
            page.sections.append(Section(heading, shown, printed=False))
    return pages


def _unfinished(cells: pd.DataFrame) -> pd.DataFrame:
    """The runs that did not finish, with the reason."""
    return cells.loc[cells["status"] != "finished", STATUS]


def _unmeasured(cells: pd.DataFrame) -> pd.DataFrame:
    """The finished runs whose gaps are missing, with the reason."""
    missing = cells[cells["gap"] == "missing"]
    return missing.assign(status=missing["gap"], detail=missing["gap_detail"])[STATUS]
