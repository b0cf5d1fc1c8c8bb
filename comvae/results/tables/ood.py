"""Scores of own and foreign images -> how well each tells them apart, over seeds."""

from pathlib import Path

import numpy as np
import pandas as pd

from comvae.errors import ResultsError
from comvae.files import check_sum
from comvae.results import paths
from comvae.results.formats import OOD
from comvae.results.quantities import names
from comvae.results.reading import damaged, require_columns
from comvae.results.statistics import summary
from comvae.study.plan import Block, Plan

SCORES = names(table="ood")
KEY = ["seed", "data", "image"]
FOUND = [*SCORES, "foreign_own", "knows_own", "knows_foreign"]


def ood_runs(results: Path, plan: Plan) -> pd.DataFrame:
    """FOUND of each run and foreign dataset; of a block that has none no row."""
    rows = []
    for foreign in plan.ood:
        for block in plan.blocks:
            table = read_scores(results, block, foreign)
            if table is None:
                continue
            for seed, of_seed in table.groupby("seed"):
                run = dict(dataset=block.dataset, foreign=foreign, model=block.model)
                rows.append(run | dict(seed=seed) | told_apart(of_seed, foreign))
    columns = ["dataset", "foreign", "model", "seed", *FOUND]
    return pd.DataFrame(rows, columns=columns)


def read_scores(results: Path, block: Block, foreign: str) -> pd.DataFrame | None:
    """The scores of a block, image by image; None where there is no file."""
    folder = paths.evaluation_folder(results, block.folder, block.measured)
    path = paths.ood(folder, foreign)
    if block.dataset == foreign or not path.exists():
        return None
    try:
        check_sum(path)
        table = pd.read_parquet(path)
        require_columns([*KEY, *SCORES], table)
    except ResultsError:
        raise
    except Exception as error:  # each fault of the file has its own class
        raise damaged(path, error) from None
    return table


def told_apart(table: pd.DataFrame, foreign: str) -> dict[str, float]:
    """FOUND of one run."""
    is_foreign = (table["data"] == foreign).to_numpy()
    found = {name: auroc(table[name].to_numpy(), is_foreign) for name in SCORES}
    random = np.isfinite(found["foreign_elbo_variance"])
    found["foreign_own"] = found["foreign_elbo_variance" if random else "foreign_gap"]
    for name, those in (("knows_own", ~is_foreign), ("knows_foreign", is_foreign)):
        here = table.loc[those, ["foreign_elbo_variance", "foreign_gap"]]
        found[name] = here.corr("spearman").iloc[0, 1] if random else np.nan
    return found


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive one scores higher than another, ties halved; NaN
    where a score is missing."""
    if not np.isfinite(score).all():
        return np.nan
    ranks, count = pd.Series(score).rank().to_numpy(), int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(score) - count)))


def ood_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """FOUND over the seeds, one row per (dataset, foreign, model, quantity)."""
    rows = []
    for key, cell in runs.groupby(["dataset", "foreign", "model"], sort=False):
        for name in FOUND:
            found = summary(cell[name])
            row = dict(zip(["dataset", "foreign", "model"], key, strict=True))
            rows.append(row | dict(quantity=name) | found)
    return pd.DataFrame(rows, columns=OOD.columns)


def with_own_sign(runs: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs` on test images with `foreign_own`, the mean over the foreign
    datasets, for the claim on them."""
    by_run = ["dataset", "model", "seed"]
    means = scored.groupby(by_run, as_index=False)["foreign_own"].mean()
    found = runs.merge(means, on=by_run, how="left")
    return found.assign(foreign_own=found["foreign_own"].where(runs["split"] == "test"))
