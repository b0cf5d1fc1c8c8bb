"""Which reading of a row of Table 1 reproduces it best: one rule (docs/paper.md).

The pattern of a row is what becomes of vanilla's L_rec and D_KL in it: differences and
ratios, on the training and on the test row. A reading's distance is how far its pattern
is from that of the paper's row, in MNIST's and in EMNIST's half of the table.
"""

import numpy as np
import pandas as pd

from comvae.results.formats import READINGS
from comvae.results.quantities import RUNNING
from comvae.results.statistics import summary
from comvae.results.tables.attribution import BASELINE
from comvae.results.tables.paper import PAPER
from comvae.study.plan import Plan

TERMS = ["reconstruction", "latent_kl"]
SPLITS = (RUNNING, "test")  # the rows that Table 1 has of a model


def readings_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, reading, split and dataset of the paper, by the row of Table
    1 that it is a reading of; no row where no model is another reading of one.

    Ours are means over the seeds that have all terms of the model and of vanilla; the
    distance is the mean of theirs, with its 95% interval.
    """
    paper = pd.read_csv(PAPER).assign(seed=0)
    paper = dict(list(paper.groupby("dataset", sort=False)))
    rows = []
    for dataset in plan.datasets:
        here = runs[runs["dataset"] == dataset]
        for row in dict.fromkeys(plan.readings.values()):
            scored = {
                model: _scored(here, model, row, paper)
                for model in plan.models
                if plan.readings.get(model, model) == row
            }
            means = {model: lines[0]["distance"] for model, lines in scored.items()}
            least = np.nanmin([*means.values(), np.inf])
            for model, lines in scored.items():
                of = dict(dataset=dataset, row=row, model=model)
                of["best"] = "yes" if means[model] == least else ""
                rows += [of | line for line in lines]
    return pd.DataFrame(rows, columns=READINGS.columns)


def _scored(
    runs: pd.DataFrame, model: str, row: str, paper: dict[str, pd.DataFrame]
) -> list[dict]:
    """The rows of one reading, with its distance in each of them."""
    ours, vanilla = _terms(runs, model), _terms(runs, BASELINE)
    pair = (row, BASELINE)
    theirs = {name: [_terms(table, m) for m in pair] for name, table in paper.items()}
    whole = np.isfinite(ours + vanilla).all((1, 2))
    ours, vanilla = ours[whole], vanilla[whole]
    patterns = list(theirs.values())
    found = summary(pd.Series(distance(ours, vanilla, patterns)))
    found["distance"] = found.pop("mean")
    unchanged = np.ones((1, len(SPLITS), len(TERMS)))
    [found["vanilla_distance"]] = distance(unchanged, unchanged, patterns)
    means = _changes(ours, vanilla)
    return [
        {"split": split, "paper_dataset": name}
        | _columns("", means, place)
        | _columns("paper_", _changes(*values), place)
        | found
        for name, values in theirs.items()
        for place, split in enumerate(SPLITS)
    ]


def distance(
    ours: np.ndarray, vanilla: np.ndarray, paper: list[list[np.ndarray]]
) -> np.ndarray:
    """The root mean square of all that a pattern differs in from the paper's, (seeds,)
    in per cent.

    Arguments are TERMS in nats, (seeds, splits, terms); each entry of `paper` has a row
    of Table 1 and vanilla's.
    """
    off = [_pattern(ours, vanilla) - _pattern(*values) for values in paper]
    return 100 * np.sqrt(np.square(off).mean((0, 1, 3, 4)))


def _pattern(own: np.ndarray, vanilla: np.ndarray) -> np.ndarray:
    """Logarithms of the ratios, and the differences in vanilla's L_rec + D_KL as a
    unit, which images of another size have another of: (2, seeds, splits, terms)."""
    unit = vanilla.sum(2, keepdims=True)
    return np.stack([np.log(own / vanilla), (own - vanilla) / unit])


def _changes(own: np.ndarray, vanilla: np.ndarray) -> list[np.ndarray]:
    """The terms, their differences and their ratios, (splits, terms) of seed means."""
    if not len(own):
        return [np.full(own.shape[1:], np.nan)] * 3
    return [part.mean(0) for part in (own, own - vanilla, own / vanilla)]


def _columns(prefix: str, changes: list[np.ndarray], place: int) -> dict[str, float]:
    names = ("", "_difference", "_ratio")
    return {
        f"{prefix}{term}{name}": values[place, column]
        for name, values in zip(names, changes, strict=True)
        for column, term in enumerate(TERMS)
    }


def _terms(table: pd.DataFrame, model: str) -> np.ndarray:
    """TERMS of a model, (seeds of the table, SPLITS, TERMS); NaN where one is not."""
    seeds = sorted(table["seed"].unique())
    cells = pd.MultiIndex.from_product([seeds, SPLITS])
    own = table[table["model"] == model].set_index(["seed", "split"])
    own = own[TERMS].astype(float).reindex(cells)
    return own.to_numpy().reshape(len(seeds), len(SPLITS), len(TERMS))
