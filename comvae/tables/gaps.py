"""Measured gaps, one row per image -> means of each run, then statistics over seeds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.errors import ResultsError
from comvae.plan import Block, Plan
from comvae.statistics import summary

GAP_SPLITS = ("train", "test")
MEASURED = [
    *("log_px", "elbo", "elbo_mean_weights", "elbo_marginal", "elbo_optimal"),
    *("approximation_gap", "amortization_gap", "inference_gap"),
]
"""The columns of runs.csv, means over the images in nats per image."""

OTHER_GAPS = ["amortization_gap_mean_weights", "amortization_gap_marginal"]
DIAGNOSTICS = [
    *("log_px_is", "log_px_ais", "ess", "iterations", "converged"),
    "start_difference",
]
QUANTITIES = [*MEASURED, *OTHER_GAPS, *DIAGNOSTICS]
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
GAP_COLUMNS = [
    *("dataset", "model", "split", "quantity"),
    *("mean", "std", "ci_low", "ci_high", "n_seeds", "images", *QUANTILES),
]
GAP_STATUS_COLUMNS = ["gap", "gap_detail"]

STORED = [
    *("seed", "split", "image"),
    *("elbo", "elbo_mean_weights", "elbo_marginal", "elbo_optimal", "log_px"),
    *DIAGNOSTICS,
]
NEEDED = ["elbo", "elbo_optimal", "log_px"]  # the others may be empty


def read_gaps(path: Path) -> pd.DataFrame:
    """A block's gaps.parquet, one row per (seed, split, image), with the gaps added.

    Raises ResultsError where it is missing or damaged.
    """
    if not path.exists():
        raise ResultsError(f"{path} is missing")
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # each fault of the file has its own class
        flat = " ".join(str(error).split())
        raise ResultsError(f"{path} is damaged: {flat}; measure it again") from None
    missing = [column for column in STORED if column not in table]
    text = [
        column
        for column in STORED
        if column in table
        and column != "split"
        and table[column].dtype.kind not in "biuf"
    ]
    if missing or text:
        wrong = f"has no {', '.join(missing)}" if missing else f"text in {text}"
        raise ResultsError(f"{path} is damaged: {wrong}; measure it again")
    if table.duplicated(["seed", "split", "image"]).any():
        raise ResultsError(
            f"{path} is damaged: an image stands twice; measure it again"
        )
    numbers = [column for column in STORED if column not in ("seed", "split", "image")]
    return with_gaps(table.astype(dict.fromkeys(numbers, "float64")))


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


def image_means(gaps: pd.DataFrame) -> dict[tuple[int, str], dict[str, float]]:
    """Means of MEASURED over the images by (seed, split); NaN where one is missing."""
    grouped = gaps.groupby(["seed", "split"])[MEASURED]
    means = grouped.agg(lambda values: values.mean(skipna=False))
    return {key: dict(row) for key, row in means.iterrows()}


def listed_images(results: Path, dataset: str) -> dict[str, list[int]] | None:
    """The images of each split that gaps are measured on, from gap-images.json."""
    path = results / "evaluations" / dataset / "gap-images.json"
    try:
        listed = json.loads(path.read_text())
        return {split: sorted(listed[split]) for split in GAP_SPLITS}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path}: is no list of images ({error})") from None


def collect_gaps(
    results: Path, plan: Plan, cells: pd.DataFrame
) -> tuple[pd.DataFrame, dict[tuple[str, str, int], str]]:
    """The rows of all finished runs, and why a run has none: by (dataset, model, seed)
    a reason, empty where its gaps are measured. Runs whose gaps nobody asked for, or
    that did not finish, are not among them."""
    finished = {
        (cell.dataset, cell.model, cell.seed)
        for cell in cells.itertuples()
        if cell.status == "finished" and plan.gap_images
    }
    tables, problems = [], {}
    images: dict[str, dict[str, list[int]]] = {}
    for block in plan.blocks:
        seeds = [s for s in block.seeds if (block.dataset, block.model, s) in finished]
        if not seeds:
            continue
        found: dict[int, pd.DataFrame | str]
        try:
            found = _read_block(results, block, seeds, images)
        except ResultsError as error:
            found = dict.fromkeys(seeds, str(error))
        for seed, rows in found.items():
            failed = isinstance(rows, str)
            problems[block.dataset, block.model, seed] = rows if failed else ""
            if not failed:
                tables.append(rows.assign(dataset=block.dataset, model=block.model))
    columns = ["dataset", "model", "seed", "split", "image", *QUANTITIES]
    empty = pd.DataFrame(columns=columns)
    return (pd.concat(tables)[columns] if tables else empty), problems


def add_gaps(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    gaps: pd.DataFrame,
    problems: dict[tuple[str, str, int], str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`runs` with MEASURED, and `cells` with GAP_STATUS_COLUMNS."""
    keys = ["dataset", "model", "seed", "split"]
    means = {
        (dataset, model, *key): values
        for (dataset, model), group in gaps.groupby(["dataset", "model"])
        for key, values in image_means(group).items()
    }
    rows = [means.get(tuple(key), {}) for key in runs[keys].itertuples(index=False)]
    measured = pd.DataFrame(rows, index=runs.index, columns=MEASURED, dtype=float)
    whys = [
        problems.get(tuple(key))
        for key in cells[["dataset", "model", "seed"]].itertuples(index=False)
    ]
    status = ["" if why is None else "missing" if why else "measured" for why in whys]
    return (
        pd.concat([runs, measured], axis=1),
        cells.assign(gap=status, gap_detail=[why or "" for why in whys]),
    )


def gaps_table(plan: Plan, gaps: pd.DataFrame) -> pd.DataFrame:
    """QUANTITIES over seeds and images, one row per (dataset, model, split, quantity).

    mean, std and the 95% interval are over the seeds' means; the quantiles over the
    images are averaged over the seeds. Without a measured run `n_seeds` is 0.
    """
    by_cell = dict(list(gaps.groupby(["dataset", "model", "split"])))
    rows = []
    for dataset in plan.datasets if plan.gap_images else []:
        for model in plan.models:
            for split in GAP_SPLITS:
                cell = dict(dataset=dataset, model=model, split=split)
                group = by_cell.get((dataset, model, split), gaps.iloc[:0])
                for quantity in QUANTITIES:
                    values = group[quantity].astype(float).groupby(group["seed"])
                    rows.append(cell | dict(quantity=quantity) | _statistics(values))
    return pd.DataFrame(rows, columns=GAP_COLUMNS)


def _statistics(by_seed: "pd.api.typing.SeriesGroupBy") -> dict[str, float]:
    found = summary(by_seed.mean()) | dict(images=by_seed.count().max())
    for name, share in QUANTILES.items():
        found[name] = by_seed.quantile(share).mean()
    if found["n_seeds"] == 0:
        found["images"] = 0
    return found


def _read_block(
    results: Path,
    block: Block,
    seeds: list[int],
    images: dict[str, dict[str, list[int]]],
) -> dict[int, pd.DataFrame | str]:
    """The rows of each of `seeds`, or why they cannot be used.

    `images` are those of each dataset: as gap-images.json lists them, else those of its
    first block.
    """
    path = results / "evaluations" / block.folder / "gaps.parquet"
    if not path.exists():
        raise ResultsError(
            f"not measured; why may stand in logs/gap/{block.folder}.log"
        )
    table = read_gaps(path)
    if block.dataset not in images:
        listed = listed_images(results, block.dataset)
        images[block.dataset] = listed or _images_of(table[table["seed"] == seeds[0]])
    found: dict[int, pd.DataFrame | str] = {}
    for seed in seeds:
        rows = table[table["seed"] == seed]
        if _images_of(rows) != images[block.dataset]:
            found[seed] = (
                f"{path}: seed {seed} is measured on {len(rows)} other images than the "
                f"{sum(map(len, images[block.dataset].values()))} of {block.dataset}; "
                "measure it again"
            )
        elif not np.isfinite(rows[NEEDED].to_numpy(float)).all():
            found[seed] = f"{path}: seed {seed} has values that are not finite"
        else:
            found[seed] = rows
    return found


def _images_of(rows: pd.DataFrame) -> dict[str, list[int]]:
    return {
        split: sorted(rows.loc[rows["split"] == split, "image"].tolist())
        for split in GAP_SPLITS
    }
