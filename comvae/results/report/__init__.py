"""The study to read, on a terminal and as Markdown: Table 1, the gaps, the claims."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.results import paths
from comvae.results.headline import headline, rivals_headline
from comvae.results.reading import load_study_table
from comvae.results.report.forms import RENDERED
from comvae.results.report.pages import claims_page, departures, gaps_page, table1_page
from comvae.results.report.paper import paper_tables
from comvae.study.plan import Plan

WHERE = "The tables to read, the figures and the rules behind them are in the menu.\n"
WIDTH = 165  # of the widest table: a log or a narrow window is no reason to cut it


def read_table(study: Path, name: str) -> pd.DataFrame:
    """A table in the folder of a study; raises ResultsError."""
    try:
        table = load_study_table(study, name)
    except ResultsError as error:
        raise ResultsError(f"{error}, or write it with `comvae tables`") from None
    if table is None:
        path = paths.table(study, name)
        raise ResultsError(f"{path} is missing; write it with `comvae tables`")
    return table


def write_report(results: Path, plan: Plan) -> dict[str, Path]:
    """Write `report/{table1,gaps,claims}.md`, and return their paths by name.

    `report/answer.rst` has the first sentences alone, for Snakemake's report. Raises
    ResultsError where tables are missing.
    """
    folder = plan.folder(results)
    table1, runs, gaps, attribution, claims, cells = (
        read_table(folder, name)
        for name in ("table1", "runs", "gaps", "attribution", "claims", "cells")
    )
    readings = load_study_table(folder, "readings")
    heads = [headline(runs, attribution, each) for each in plan.datasets]
    rivals = load_study_table(folder, "rivals")
    heads += [rivals_headline(rivals, plan.models, each) for each in plan.datasets]
    said = [text for text in heads if text]
    pages = {
        "table1": table1_page(plan, table1, claims, readings, cells, said),
        "gaps": gaps_page(plan, gaps, attribution, rivals, cells),
        "claims": claims_page(plan, claims),
    }
    written = {name: paths.report(folder, name) for name in pages}
    for name, page in pages.items():
        write_text(written[name], page)
    answer = [*said, *departures(claims).values(), WHERE]
    write_text(paths.report(folder, "answer").with_suffix(".rst"), "\n\n".join(answer))
    return written


def write_paper_tables(results: Path, plan: Plan, form: str) -> list[Path]:
    """Write every table in a form of RENDERED, below `report/<form>`; their paths.

    Raises ResultsError where tables are missing.
    """
    suffix, render = RENDERED[form]
    names = ("runs", "table1", "gaps", "attribution", "claims")
    folder = plan.folder(results)
    tables = {name: read_table(folder, name) for name in names}
    written = []
    for table in paper_tables(results, plan, tables):
        path = paths.paper_table(folder, form, f"{table.name}.{suffix}")
        write_text(path, render(table))
        written.append(path)
    return written


def print_report(results: Path, plan: Plan, console: Console | None = None) -> None:
    """Write the report, print it, and say where to look next."""
    console = console or Console()
    console.width = max(console.width, WIDTH)
    folder = plan.folder(results)
    for path in write_report(results, plan).values():
        console.print(Markdown(path.read_text(encoding="utf-8")))
    console.print(
        f"\nTables: {folder / 'tables'}   Report: {folder / 'report'}\n"
        "Compare variants: make dashboard   Query single runs: make mlflow"
    )
