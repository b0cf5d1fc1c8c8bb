"""Reading gaps.parquet, one row per (seed, split, image), and what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow.parquet import ParquetFile

from comvae.errors import ResultsError
from comvae.files import AGAIN
from comvae.study.plan import Block

GAP_SPLITS = ("train", "test")
DIAGNOSTICS = [
    *("log_px_is", "log_px_ais", "ess", "iterations", "converged"),
    "start_difference",
]
KEY = ["seed", "split", "image"]
NUMBERS = [
    *("elbo", "elbo_mean_weights", "elbo_marginal", "elbo_optimal", "log_px"),
    *DIAGNOSTICS,
]
STORED = [*KEY, *NUMBERS]
NEEDED = ["elbo", "elbo_optimal", "log_px"]  # the others may be empty

Images = dict[str, list[int]]
"""The images of each split that the gaps are measured on, in ascending order."""


def read_gaps(path: Path) -> pd.DataFrame:
    """A block's gaps.parquet with the gaps added; raises ResultsError where it is
    missing or damaged."""
    return with_gaps(_read_stored(path))


def no_gaps() -> pd.DataFrame:
    """The table of a block without a single run that could be measured."""
    return pd.DataFrame(columns=STORED, dtype=float)


def with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the differences that are the gaps, in nats."""
    log_px, optimal = table["log_px"], table["elbo_optimal"]
    return table.assign(
        approximation_gap=log_px - optimal,
        amortization_gap=optimal - table["elbo"],
        inference_gap=log_px - table["elbo"],
        amortization_gap_mean_weights=optimal - table["elbo_mean_weights"],
        amortization_gap_marginal=optimal - table["elbo_marginal"],
    )


def read_runs(
    results: Path, block: Block, seeds: list[int], images: dict[str, Images]
) -> dict[int, pd.DataFrame | str]:
    """The rows of each of `seeds`, without the gaps; or why they cannot be used.

    `images` are those of each dataset: as gap-images.json lists them, else those of its
    first block. Raises ResultsError where no row of the block can be used.
    """
    path = results / "evaluations" / block.folder / "gaps.parquet"
    if not path.exists():
        raise ResultsError(
            f"not measured; why may stand in logs/gap/{block.folder}.log"
        )
    table = _read_stored(path)
    if block.dataset not in images:
        listed = _listed_images(results, block.dataset)
        images[block.dataset] = listed or _images_of(table[table["seed"] == seeds[0]])
    found: dict[int, pd.DataFrame | str] = {}
    for seed in seeds:
        rows = table[table["seed"] == seed]
        if _images_of(rows) != images[block.dataset]:
            found[seed] = (
                f"{path}: seed {seed} is measured on {len(rows)} other images than the "
                f"{sum(map(len, images[block.dataset].values()))} of {block.dataset}; "
                f"{AGAIN}"
            )
        elif not np.isfinite(rows[NEEDED].to_numpy(float)).all():
            found[seed] = f"{path}: seed {seed} has values that are not finite"
        else:
            found[seed] = rows
    return found


def _read_stored(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise ResultsError(f"{path} is missing")
    try:
        with ParquetFile(path) as file:
            table = file.read(use_threads=False).to_pandas()
    except Exception as error:  # each fault of the file has its own class
        flat = " ".join(str(error).split())
        raise ResultsError(f"{path} is damaged: {flat}; {AGAIN}") from None
    kinds = {name: table[name].dtype.kind for name in STORED if name in table}
    missing = [name for name in STORED if name not in kinds]
    text = [
        name for name, kind in kinds.items() if name != "split" and kind not in "biuf"
    ]
    if missing or text:
        wrong = f"has no {', '.join(missing)}" if missing else f"text in {text}"
        raise ResultsError(f"{path} is damaged: {wrong}; {AGAIN}")
    if table.duplicated(KEY).any():
        raise ResultsError(f"{path} is damaged: an image stands twice; {AGAIN}")
    others = [name for name in NUMBERS if table[name].dtype != np.float64]
    return table.astype(dict.fromkeys(others, "float64"))


def _listed_images(results: Path, dataset: str) -> Images | None:
    """The images in gap-images.json, None without such a file."""
    path = results / "evaluations" / dataset / "gap-images.json"
    try:
        listed = json.loads(path.read_text())
        return {split: sorted(listed[split]) for split in GAP_SPLITS}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path}: is no list of images ({error})") from None


def _images_of(rows: pd.DataFrame) -> Images:
    return {
        split: sorted(rows.loc[rows["split"] == split, "image"].tolist())
        for split in GAP_SPLITS
    }
