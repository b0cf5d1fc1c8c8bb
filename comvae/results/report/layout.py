"""Pages of tables: as Markdown in a file, and as grids on a terminal."""

from dataclasses import dataclass, field

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from comvae.results.quantities import markdown_table

WIDTH = 165  # of the widest table: a log or a narrow window is no reason to cut it


@dataclass(frozen=True)
class Section:
    """A table of texts below a heading."""

    heading: str
    table: pd.DataFrame
    left: tuple[str, ...] = ("model",)  # columns of words; those of numbers stand right
    wraps: bool = False  # whether the columns of words may have several lines
    printed: bool = True  # on the terminal; the file has all


@dataclass(frozen=True)
class Page:
    """One file below `results/report`, and one part of what is printed."""

    name: str
    title: str
    legend: str
    sections: list[Section] = field(default_factory=list)

    def markdown(self) -> str:
        """The text of the file."""
        parts = [f"# {self.title}", self.legend]
        for section in self.sections:
            parts += [
                f"## {section.heading}",
                markdown_table(section.table, section.table.to_numpy()),
            ]
        return "\n\n".join(parts) + "\n"

    def print(self, console: Console) -> None:
        """Print the sections that are for the terminal, then the legend."""
        for section in self.sections:
            if section.printed:
                console.print(_grid(section))
        console.print(self.legend)
        console.print()


def with_interval(mean: float, high: float, n_seeds: float, sign: str = "") -> str:
    """`mean ± half of the interval`, with as much of it as there is; or nothing."""
    if not n_seeds or pd.isna(mean):
        return ""
    text = f"{mean:{sign}.2f}"
    return text if n_seeds < 2 else f"{text} ± {high - mean:.2f}"


def _grid(section: Section) -> Table:
    grid = Table(title=section.heading, title_justify="left", box=box.SIMPLE_HEAD)
    for column in section.table:
        words = column in section.left
        grid.add_column(
            column,
            justify="left" if words else "right",
            no_wrap=not (words and section.wraps),
        )
    for row in section.table.itertuples(index=False):
        grid.add_row(*row)
    return grid
