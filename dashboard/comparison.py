"""From runs and their files to models beside each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.results import index as runs
from comvae.results import paths
from comvae.results import reading as data
from comvae.results.formats import HISTORY
from comvae.results.reading import noting


def histories(
    chosen: Sequence[runs.Run],
) -> tuple[list[tuple[str, pd.DataFrame]], list[str]]:
    """The history of each block of the chosen runs with its model; what is damaged."""
    found, problems = [], []
    for folder, model, seeds in _blocks(chosen, "folder"):
        with noting(problems):
            history = data.load_table(folder / paths.HISTORY, HISTORY)
            if history is not None:
                found.append((model, history[history["seed"].isin(seeds)]))
    return found, problems


def image_gaps(
    chosen: Sequence[runs.Run], split: str, gap: str
) -> tuple[pd.DataFrame, list[str]]:
    """A gap of every image under every model, averaged over its seeds; and problems.

    Columns are the models, rows the images that all of them have.
    """
    # it needs pyarrow, which few pages do
    from comvae.results.gap_files import load_image_gaps

    tables, problems = [], []
    for folder, model, seeds in _blocks(chosen, "evaluation"):
        with noting(problems):
            table = load_image_gaps(folder / paths.GAPS)
            if table is not None and gap in table:
                rows = table[table["seed"].isin(seeds) & (table["split"] == split)]
                tables.append(rows[["image", gap]].assign(model=model))
    if not tables:
        return pd.DataFrame(), problems
    by_image = pd.concat(tables).pivot_table(index="image", columns="model", values=gap)
    return by_image.replace([np.inf, -np.inf], np.nan).dropna(), problems


def _blocks(
    chosen: Sequence[runs.Run], kind: str
) -> Iterator[tuple[Path, str, list[int]]]:
    """Folder, model and seeds of each block of the chosen runs that has a folder.

    A file of a block holds all of its seeds: one look at it serves them all.
    """
    seeds: dict[tuple[Path, str], list[int]] = {}
    for run in chosen:
        folder = getattr(run, kind)
        if folder is not None:
            seeds.setdefault((folder, run.model), []).append(run.seed)
    for (folder, model), together in seeds.items():
        yield folder, model, together
