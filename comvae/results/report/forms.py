"""A table for a paper as a text: LaTeX with booktabs, Markdown, or CSV."""

import re
from collections.abc import Callable

import pandas as pd

from comvae.results.quantities import markdown_table
from comvae.results.report.paper import PaperTable

SPECIAL = {character: rf"\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "\N{GREEK SMALL LETTER MU}": r"$\mu$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
}
SIGN = re.compile(r"(?<!\w)([+-])(?=\d)")


def latex(table: PaperTable) -> str:
    """A `table` environment for `\\input`; it needs the package booktabs."""
    styles = table.bold.replace({True: "textbf:--rwrap;", False: ""})
    style = table.cells.style.format(_tex).format_index(_tex, axis="columns")
    style = style.hide(axis="index").apply(lambda _: styles, axis=None)
    return style.to_latex(
        hrules=True,
        column_format=table.layout,
        multicol_align="c",
        position="tbp",
        position_float="centering",
        caption=_tex(table.caption),
        label=f"tab:{table.name}",
    )


def markdown(table: PaperTable) -> str:
    """The caption and the table below it."""
    cells = table.cells.mask(table.bold, "**" + table.cells + "**")
    text = markdown_table(_one_line(cells.columns), cells.to_numpy())
    return f"{table.caption}\n\n{text}\n"


def csv(table: PaperTable) -> str:
    """The cells alone, without the caption and without bold."""
    return table.cells.to_csv(index=False, header=_one_line(table.cells.columns))


def _one_line(columns: pd.MultiIndex) -> list[str]:
    return [", ".join(filter(None, column)) for column in columns]


def _tex(text: str) -> str:
    return SIGN.sub(r"$\1$", text.translate(str.maketrans(SPECIAL)))


RENDERED: dict[str, tuple[str, Callable[[PaperTable], str]]] = {
    "latex": ("tex", latex),
    "markdown": ("md", markdown),
    "csv": ("csv", csv),
}
"""The end of a file's name and what writes its text, by form."""
