"""Table 1 to read: on a terminal and as Markdown."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from comvae.errors import ResultsError
from comvae.files import write_text
from comvae.plan import Plan

SHOWN_SPLITS = {
    "train-running": "training images, average over the last epoch",
    "test": "test images",
}
WIDTH = 130  # of the widest table: a log or a narrow window is no reason to cut it
HEADINGS = {"reconstruction": "L_rec", "latent_kl": "D_KL", "negative_elbo": "sum"}


def read_table(results: Path, name: str) -> pd.DataFrame:
    """A table below `results/tables`; raises ResultsError."""
    path = results / "tables" / f"{name}.csv"
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: found no readable table ({error}); run `comvae tables`"
        ) from None


def readable(cells: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """One row per model of one dataset and split: `mean ± half interval [paper]`."""
    rows = []
    for model, metrics in cells.groupby("model", sort=False):
        row = {"model": titles.get(model, model)}
        row |= {HEADINGS[cell.metric]: _shown(cell) for cell in metrics.itertuples()}
        rows.append(row | {"seeds": str(metrics["n_seeds"].min())})
    return pd.DataFrame(rows)


def _parts(table1: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The shown dataset and split in words, and their rows of table1."""
    for dataset, of_dataset in table1.groupby("dataset", sort=False):
        for split, words in SHOWN_SPLITS.items():
            yield f"{dataset}, {words}", of_dataset[of_dataset["split"] == split]


def write_report(results: Path, plan: Plan) -> Path:
    """Write `report/table1.md`; raises ResultsError where tables are missing."""
    table1 = read_table(results, "table1")
    parts = [f"# Table 1 of the study `{plan.study}`", _LEGEND]
    for heading, cells in _parts(table1):
        parts += [f"## {heading}", _markdown(readable(cells, plan.models))]
    unfinished = _unfinished(results)
    if len(unfinished):
        parts += ["## Not finished", _markdown(unfinished)]
    path = results / "report" / "table1.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def print_report(results: Path, plan: Plan, console: Console | None = None) -> None:
    """Print Table 1 and where to look next."""
    console = console or Console()
    console.width = max(console.width, WIDTH)
    for heading, cells in _parts(read_table(results, "table1")):
        shown = readable(cells, plan.models)
        grid = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
        for column in shown:
            left = column == "model"
            grid.add_column(column, justify="left" if left else "right", no_wrap=True)
        for row in shown.itertuples(index=False):
            grid.add_row(*row)
        console.print(grid)
    console.print(_LEGEND)
    for cell in _unfinished(results).itertuples():
        console.print(
            f"{cell.status}: {cell.dataset} {cell.model} seed {cell.seed}: "
            f"{cell.detail}",
            style="red",
            markup=False,
        )
    console.print(
        f"\nTables: {results / 'tables'}   Report: {results / 'report' / 'table1.md'}\n"
        "Compare variants: make dashboard   Query single runs: make mlflow"
    )


_LEGEND = (
    "Nats per image: mean ± half of the 95% interval over seeds, and the paper's value "
    "in brackets where there is one. Lower is better."
)


def _shown(cell: "pd.core.frame.Pandas") -> str:
    text = f"{cell.mean:.2f}" if cell.n_seeds else "not finished"
    if cell.n_seeds > 1:
        text += f" ± {cell.ci_high - cell.mean:.2f}"
    return text if pd.isna(cell.paper) else f"{text} [{cell.paper:.2f}]"


def _unfinished(results: Path) -> pd.DataFrame:
    cells = read_table(results, "cells")
    return cells[cells["status"] != "finished"]


def _markdown(table: pd.DataFrame) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
