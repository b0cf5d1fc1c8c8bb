"""Table 1 of the study beside the paper's."""

from collections.abc import Container
from functools import cache
from pathlib import Path

import pandas as pd

from comvae.results.formats import TABLE1
from comvae.results.quantities import PAPER_METRICS, names
from comvae.results.statistics import summary

PAPER = Path(__file__).parents[1] / "paper.csv"


def table1(runs: pd.DataFrame, without_paper: Container[str] = ()) -> pd.DataFrame:
    """Mean, standard deviation and 95% interval over seeds, and the paper's value.

    The datasets `without_paper` have none: their images are others.

    A metric that the paper lacks has a row wherever a run has a value, and so has any
    metric of an external model.
    """
    paper = paper_values()
    rows = []
    for (dataset, model, split), group in runs.groupby(
        ["dataset", "model", "split"], sort=False
    ):
        source = "; ".join(group["source"].unique())
        for metric in names(table="table1"):
            found = summary(group[metric])
            if found["n_seeds"] or (metric in PAPER_METRICS and not source):
                cell = dict(dataset=dataset, model=model, split=split, metric=metric)
                value = None
                if dataset not in without_paper:
                    value = paper.get((dataset, model, split, metric))
                rows.append(cell | found | dict(paper=value, source=source))
    return pd.DataFrame(rows, columns=TABLE1.columns)


@cache
def paper_values() -> dict[tuple[str, str, str, str], float]:
    """The paper's Table 1 by (dataset, model, split, metric), nats per image.

    Its training rows stand under `train-running`; its EMNIST under `emnist-mnist`.
    """
    paper = pd.read_csv(PAPER)
    long = paper.melt(["dataset", "model", "split"], var_name="metric")
    keys = long[["dataset", "model", "split", "metric"]].itertuples(index=False)
    return {tuple(key): value for key, value in zip(keys, long["value"], strict=True)}
