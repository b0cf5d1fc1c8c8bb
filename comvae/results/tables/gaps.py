"""Measured gaps, one row per image -> statistics of each run, then over the seeds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.errors import ResultsError
from comvae.results.bootstrap import image_deviations, interval
from comvae.results.formats import BOTH, CELLS, GAPS, QUANTILES
from comvae.results.gap_files import Images, read_runs, with_gaps
from comvae.results.quantities import EVALUATED_SPLITS, QUANTITIES, names
from comvae.results.statistics import summary
from comvae.study.plan import Block, Plan

Run = tuple[str, str, int]  # dataset, model, seed
Intervals = dict[tuple[str, str, str, str], tuple[float, float]]
"""Low and high by dataset, model, split and quantity."""
RUN = CELLS.key
MEASURED = names("gap", table="runs")
BEYOND = {n: QUANTITIES[n].beyond_train for n in MEASURED if QUANTITIES[n].beyond_train}
AVERAGED = [name for name in MEASURED if name not in BEYOND]
SUMMARISED = names("gap", table="gaps")
OF_IMAGES = [name for name in SUMMARISED if name not in BEYOND]
RESAMPLED = [n for n in SUMMARISED if QUANTITIES[n].difference and QUANTITIES[n].better]
"""The gaps: the quantities with an interval over seeds and images too."""
MOST_WITHHELD = 0.05
"""The largest share of images without log p(x) that a run's means can do without."""
ROWS_AT_ONCE = 200_000
"""One row an image: a study of 10,000 runs has more than fit into memory."""


def image_means(
    gaps: pd.DataFrame, by: Sequence[str] = ("seed", "split")
) -> dict[tuple, dict[str, float]]:
    """MEASURED, means over the images, by (seed, split); NaN where one is missing.

    A few images whose log p(x) is withheld are taken to have the mean approximation gap
    of the others: to leave them out would change the images, which differ by far more.
    BEYOND is a difference between the splits, and stands at `test`.
    """
    found = {}
    for key, rows in gaps.groupby(list(by), sort=False)[AVERAGED]:
        means = dict(zip(AVERAGED, _row_means(rows.to_numpy().T), strict=True))
        if 0 < rows["log_px"].isna().mean() <= MOST_WITHHELD:
            gap = rows["approximation_gap"].mean()
            means["approximation_gap"] = gap
            means["log_px"] = means["elbo_optimal"] + gap
            means["inference_gap"] = means["log_px"] - means["elbo"]
        found[key] = means
    for (*run, split), means in found.items():
        train = found.get((*run, "train"), {}) if split == "test" else {}
        means |= {
            name: means[of] - train.get(of, np.nan) for name, of in BEYOND.items()
        }
    return found


def collect_gaps(
    results: Path, plan: Plan, cells: pd.DataFrame
) -> tuple[pd.DataFrame, Intervals, dict[Run, str]]:
    """Statistics over the images of all finished runs, intervals over seeds and images,
    and why a run has none: a reason, empty where its gaps are measured. Runs whose gaps
    nobody asked for, or that did not finish, are not among them.

    The statistics have one row per (dataset, model, seed, split) and columns of two
    levels: statistic and quantity, as `over_images` gives them.
    """
    finished = {
        (cell.dataset, cell.model, cell.seed)
        for cell in cells.itertuples()
        if cell.status == "finished" and plan.gap_images
    }
    statistics: list[pd.DataFrame] = []
    intervals: Intervals = {}
    problems: dict[Run, str] = {}
    images: dict[str, Images] = {}
    for cell, blocks in groupby(
        plan.blocks, lambda block: (block.dataset, block.model)
    ):
        chunks = _readable(results, blocks, finished, images, problems)
        parts = [over_images(runs) for runs in chunks]
        statistics += [part for part, _ in parts]
        for split in EVALUATED_SPLITS if parts else ():
            means = pd.concat(
                [part["mean"].xs(split, level="split") for part, _ in parts]
            )
            deviations = np.concatenate([of_splits[split] for _, of_splits in parts])
            for place, quantity in enumerate(RESAMPLED):
                ends = interval(means[quantity].to_numpy(), deviations[..., place])
                intervals[*cell, split, quantity] = ends
    whole = pd.concat(statistics) if statistics else _no_statistics()
    return whole, intervals, problems


def _readable(
    results: Path,
    blocks: Iterable[Block],
    finished: set[Run],
    images: dict[str, Images],
    problems: dict[Run, str],
) -> Iterator[dict[Run, pd.DataFrame]]:
    """The rows of the finished runs of some blocks, about ROWS_AT_ONCE at a time."""
    read: dict[Run, pd.DataFrame] = {}
    for block in blocks:
        seeds = [s for s in block.seeds if (block.dataset, block.model, s) in finished]
        if not seeds:
            continue
        found: dict[int, pd.DataFrame | str]
        try:
            found = read_runs(results, block, seeds, images)
        except ResultsError as error:
            found = dict.fromkeys(seeds, str(error))
        for seed, rows in found.items():
            failed = isinstance(rows, str)
            problems[block.dataset, block.model, seed] = rows if failed else ""
            if not failed:
                read[block.dataset, block.model, seed] = rows.drop(columns="seed")
        if sum(map(len, read.values())) >= ROWS_AT_ONCE:
            yield read
            read = {}
    if read:
        yield read


def over_images(
    runs: dict[Run, pd.DataFrame],
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """SUMMARISED of each run and split, over its images; and by split how far the means
    of RESAMPLED over drawn images are from it (`image_deviations`).

    `mean`, `images` and QUANTILES are over the images that have a quantity; `whole` is
    the mean of MEASURED, as `image_means` has it, and `mean` too where that has one and
    an image lacks log p(x).
    """
    rows = with_gaps(pd.concat(runs, names=RUN))
    by = [*RUN, "split"]
    groups = rows[[*OF_IMAGES, "split"]].groupby(by, sort=False)
    quantiles = groups.quantile(list(QUANTILES.values()))
    whole = pd.DataFrame.from_dict(image_means(rows, by), orient="index")
    statistics = {
        # one at a time: pandas sums all columns another way where one has a NaN
        "mean": pd.concat({name: groups[name].mean() for name in OF_IMAGES}, axis=1),
        "images": groups.count(),
        "whole": whole.rename_axis(by),
    }
    partly = statistics["images"]["log_px"] < groups.size()
    means = statistics["mean"]
    means.update(statistics["whole"].loc[partly[partly].index])
    for name, of in BEYOND.items():  # which no image has
        means[name] = statistics["whole"][name]
        statistics["images"][name] = statistics["images"][of]
        quantiles[name] = np.nan
    for name, share in QUANTILES.items():
        statistics[name] = quantiles.xs(share, level=-1)
    deviations = {
        split: image_deviations(_by_image(rows[rows["split"] == split], len(runs)))
        for split in EVALUATED_SPLITS
    }
    return pd.concat(statistics, axis=1), deviations


def _by_image(rows: pd.DataFrame, runs: int) -> np.ndarray:
    """RESAMPLED of runs on the same images: (runs, images, quantities), by image."""
    values = rows[RESAMPLED].to_numpy().reshape(runs, -1, len(RESAMPLED))
    there = np.isfinite(values)
    if not there.all():  # what is withheld is as the mean of the others
        counts = there.sum(1, keepdims=True)
        means = np.where(there, values, 0).sum(1, keepdims=True)
        means = np.divide(
            means, counts, out=np.full(means.shape, np.nan), where=counts > 0
        )
        values = np.where(there, values, means)
    order = rows["image"].to_numpy().reshape(runs, -1).argsort(1)
    return np.take_along_axis(values, order[..., None], 1)


def add_gaps(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    gaps: pd.DataFrame,
    problems: dict[Run, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`runs` with MEASURED, and `cells` with what became of their gaps."""
    keys = pd.MultiIndex.from_frame(runs[[*RUN, "split"]])
    measured = gaps["whole"][MEASURED].reindex(keys).set_axis(runs.index)
    whys = [problems.get(key) for key in cells[RUN].itertuples(index=False, name=None)]
    status = ["" if why is None else "missing" if why else "measured" for why in whys]
    return (
        pd.concat([runs, measured], axis=1),
        cells.assign(gap=status, gap_detail=[why or "" for why in whys]),
    )


def gaps_table(plan: Plan, gaps: pd.DataFrame, intervals: Intervals) -> pd.DataFrame:
    """SUMMARISED over seeds and images, one row per (dataset, model, split, quantity).

    mean, std and the 95% interval are over the seeds' means; the quantiles over the
    images are averaged over the seeds. The interval of BOTH is over seeds and images,
    of RESAMPLED alone. Without a measured run `n_seeds` is 0.
    """
    by_cell = dict(list(gaps.sort_index().groupby(["dataset", "model", "split"])))
    rows = []
    for dataset in plan.datasets if plan.gap_images else []:
        for model in plan.models:
            for split in EVALUATED_SPLITS:
                cell = dict(dataset=dataset, model=model, split=split)
                group = by_cell.get((dataset, model, split), _no_statistics())
                for quantity in SUMMARISED if split == "test" else OF_IMAGES:
                    found = _over_seeds(group.xs(quantity, axis=1, level=1))
                    ends = intervals.get((*cell.values(), quantity), ())
                    found |= dict(zip(BOTH, ends, strict=False))
                    rows.append(cell | dict(quantity=quantity) | found)
    table = pd.DataFrame(rows, columns=GAPS.columns)
    found = set(table.loc[table["n_seeds"] > 0, "quantity"])
    absent = [n for n in SUMMARISED if QUANTITIES[n].optional and n not in found]
    return table[~table["quantity"].isin(absent)].reset_index(drop=True)


def _over_seeds(of_runs: pd.DataFrame) -> dict[str, float]:
    """The statistics of one quantity, one row per seed."""
    found = summary(of_runs["mean"]) | dict(images=of_runs["images"].max())
    for name in QUANTILES:
        found[name] = of_runs[name].mean()
    if found["n_seeds"] == 0:
        found["images"] = 0
    return found


def _no_statistics() -> pd.DataFrame:
    columns = ["mean", "images", "whole", *QUANTILES]
    return pd.DataFrame(
        index=pd.MultiIndex.from_arrays([[]] * 4, names=[*RUN, "split"]),
        columns=pd.MultiIndex.from_product([columns, SUMMARISED]),
        dtype=float,
    )


def _row_means(values: np.ndarray) -> list[float]:
    """Summed in pairs, which numpy does along contiguous memory alone."""
    return np.ascontiguousarray(values).mean(axis=1).tolist()
