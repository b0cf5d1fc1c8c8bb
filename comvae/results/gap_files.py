"""Reading gaps.parquet, one row per (seed, split, image), and what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow.parquet import ParquetFile

from comvae.errors import ResultsError
from comvae.files import check_sum
from comvae.results import paths
from comvae.results.plausible import RISING, Bounds
from comvae.results.quantities import EVALUATED_SPLITS, QUANTITIES, names
from comvae.results.reading import damaged, kept, require_columns
from comvae.study.plan import Block

KEY = ["seed", "split", "image"]
GAPS = {
    name: QUANTITIES[name].difference
    for name in names("gap")
    if QUANTITIES[name].difference
}
STORED = [
    name
    for name in names("gap")
    if name not in GAPS and not QUANTITIES[name].beyond_train
]
Images = dict[str, list[int]]
"""The images of each split that the gaps are measured on, in ascending order."""


def read_gaps(path: Path) -> pd.DataFrame:
    """A block's gaps.parquet with the gaps added; raises ResultsError where it is
    missing or damaged."""
    return with_gaps(_read_stored(path))


load_image_gaps = kept(16)(read_gaps)
"""What `read_gaps` gives, kept until the file changes; None without a file."""


def no_gaps() -> pd.DataFrame:
    """The table of a block without a single run that could be measured."""
    return pd.DataFrame(columns=[*KEY, *STORED], dtype=float)


def with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the differences that are the gaps, in nats, of what it has."""
    gaps = {
        name: table[of] - table[minus]
        for name, (of, minus) in GAPS.items()
        if {of, minus} <= set(table)
    }
    return table.assign(**gaps)


def read_runs(
    results: Path, block: Block, seeds: list[int], images: dict[str, Images]
) -> dict[int, pd.DataFrame | str]:
    """The rows of each of `seeds`, without the gaps; or why they cannot be used.

    `images` are those of each dataset: as gap-images-<hash>.json lists them, else those
    of its first block. Raises ResultsError where no row of the block can be used.
    """
    path = paths.evaluation_folder(results, block.folder, block.measured) / paths.GAPS
    if not path.exists():
        log = paths.log_file("gap", block.folder)
        raise ResultsError(f"not measured; why may stand in {log}")
    table = _read_stored(path)
    if block.dataset not in images:
        path_of = paths.gap_images(results, block.dataset, block.measured)
        listed = _listed_images(path_of)
        images[block.dataset] = listed or _images_of(table[table["seed"] == seeds[0]])
    expected, bounds = images[block.dataset], Bounds.of(results, block)
    found: dict[int, pd.DataFrame | str] = {}
    for seed in seeds:
        rows = table[table["seed"] == seed]
        if not all(expected.values()) or _images_of(rows) != expected:
            found[seed] = str(
                damaged(
                    path,
                    f"seed {seed} is measured on {len(rows)} other images than the "
                    f"{sum(map(len, expected.values()))} of {block.dataset}",
                )
            )
        elif not _all_there(rows):
            found[seed] = f"{path}: seed {seed} has values that are not finite"
        else:
            broken = bounds.broken_by_images(rows)
            found[seed] = f"{path}: seed {seed}: {broken}" if broken else rows
    return found


def _all_there(rows: pd.DataFrame) -> bool:
    """Whether every image has its numbers, but for a log p(x) that is withheld."""
    found = np.isfinite(rows[[*RISING]].to_numpy(float))
    found[:, RISING.index("log_px")] |= rows["withheld"].eq(1).to_numpy()
    return bool(found.all())


def _read_stored(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise ResultsError(f"{path} is missing")
    check_sum(path)
    try:
        with ParquetFile(path) as file:
            table = file.read(use_threads=False).to_pandas()
        require_columns([*KEY, *RISING], table)
    except Exception as error:  # each fault of the file has its own class
        raise damaged(path, error) from None
    table = table.reindex(columns=[*KEY, *STORED])
    numbers = table.columns.drop("split")
    text = [name for name in numbers if table[name].dtype.kind not in "biuf"]
    if text:
        raise damaged(path, f"it has text in {', '.join(text)}")
    if table.duplicated(KEY).any():
        raise damaged(path, "an image stands twice")
    return table.astype(dict.fromkeys(STORED, "float64"))


def _listed_images(path: Path) -> Images | None:
    """The images that the file lists, None without such a file."""
    try:
        listed = json.loads(path.read_text("utf-8"))
        return {split: sorted(listed[split]) for split in EVALUATED_SPLITS}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from None


def _images_of(rows: pd.DataFrame) -> Images:
    return {
        split: sorted(rows.loc[rows["split"] == split, "image"].tolist())
        for split in EVALUATED_SPLITS
    }
