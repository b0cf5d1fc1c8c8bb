"""The columns of every CSV file under `results/`, for those who write and who read.

results/README.md explains them; the quantities among them are those of the vocabulary.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from comvae.results.quantities import PAPER_METRICS, names


@dataclass(frozen=True, eq=False)
class Format:
    """The columns of a table, in order, each with its type: str, int or float.

    `key` columns name each row once. A file must have those and the `needed` ones; any
    other may have come later, or be of a metric that a block was not evaluated by.
    """

    types: dict[str, type]
    key: list[str]
    needed: list[str]

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return list(self.types)


def _texts(*columns: str) -> dict[str, type]:
    return dict.fromkeys(columns, str)


def _numbers(columns: Iterable[str]) -> dict[str, type]:
    return dict.fromkeys(columns, float)


SEED = {"seed": int}
INTERVAL = _numbers(["ci_low", "ci_high", "n_seeds"])

HISTORY = Format(
    SEED | {"epoch": int} | _numbers(names("evaluation")),
    key=["seed", "epoch"],
    needed=PAPER_METRICS,
)
METRICS = Format(
    SEED | _texts("split", "mode") | _numbers(["images", *names("evaluation")]),
    key=["seed", "split", "mode"],
    needed=PAPER_METRICS,
)
RUNS = Format(
    _texts("dataset", "model")
    | SEED
    | _texts("split")
    | _numbers(names("evaluation", "runs") + names("training"))
    | _texts("device", "config_hash", "git_commit", "source")
    | _numbers(names("gap", "runs")),
    key=["dataset", "model", "seed", "split"],
    needed=[],
)
TABLE1 = Format(
    _texts("dataset", "model", "split", "metric")
    | _numbers(["mean", "std", *INTERVAL, "paper"])
    | _texts("source"),
    key=["dataset", "model", "split", "metric"],
    needed=["mean", *INTERVAL],
)
BOTH = ["both_low", "both_high"]
"""The interval over seeds and images."""
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
GAPS = Format(
    _texts("dataset", "model", "split", "quantity")
    | _numbers(["mean", "std", *INTERVAL, *BOTH, "images", *QUANTILES]),
    key=["dataset", "model", "split", "quantity"],
    needed=["mean", *INTERVAL],
)
ATTRIBUTION = Format(
    _texts("dataset", "model", "split", "part") | _numbers(["effect", *INTERVAL]),
    key=["dataset", "model", "split", "part"],
    needed=["effect", *INTERVAL],
)
CLAIMS = Format(
    _texts("claim", "statement", "dataset", "split", "metric", "definition")
    | _numbers(["effect", "at_least", *INTERVAL, "p_value", "p_corrected"])
    | _texts("part_verdict", "verdict", "departures"),
    key=["claim", "dataset", "split", "metric", "definition"],
    needed=["effect", *INTERVAL, "verdict"],
)
PRICE = Format(
    _texts("dataset", "model")
    | SEED
    | _numbers(names("price"))
    | _texts("device")
    | _numbers(["threads"]),
    key=["dataset", "model"],
    needed=names("price"),
)
RIVALS = Format(
    _texts("dataset", "model")
    | _numbers(["amortization_gap", "effect", *INTERVAL, *names(table="rivals")]),
    key=["dataset", "model"],
    needed=["amortization_gap", "effect", *INTERVAL],
)
CURVE = Format(
    _texts("dataset", "model")
    | {"steps": int}
    | _numbers(["evaluations", "encode_seconds", "amortization_gap", *INTERVAL]),
    key=["dataset", "model", "steps"],
    needed=["evaluations", "encode_seconds", "amortization_gap"],
)
_CHANGES = [name for name in names(table="readings") if "distance" not in name]
READINGS = Format(
    _texts("dataset", "row", "model", "split", "paper_dataset")
    | _numbers([*_CHANGES, *(f"paper_{name}" for name in _CHANGES)])
    | _numbers(["distance", *INTERVAL, "vanilla_distance"])
    | _texts("best"),
    key=["dataset", "row", "model", "split", "paper_dataset"],
    needed=["distance", *INTERVAL, "best"],
)
OOD = Format(
    _texts("dataset", "foreign", "model", "quantity") | _numbers(["mean", *INTERVAL]),
    key=["dataset", "foreign", "model", "quantity"],
    needed=["mean", *INTERVAL],
)
SVI = Format(
    SEED
    | _texts("split", "optimiser")
    | {"steps": int}
    | _numbers(["evaluations", "elbo", "amortization_gap"]),
    key=["seed", "split", "optimiser", "steps"],
    needed=["evaluations", "elbo", "amortization_gap"],
)
"""svi.csv of an evaluation: after so many steps, for so many calls of the decoder with
its gradient for each image; means over the images of gaps.parquet, in nats."""
STATUS = ["dataset", "model", "seed", "status", "block", "detail"]
"""What became of a run; what of its gaps follows in cells.csv."""
CELLS = Format(
    _texts(*STATUS) | SEED | _texts("gap", "gap_detail"),
    key=["dataset", "model", "seed"],
    needed=["status"],
)
TABLES = {
    "runs": RUNS,
    "table1": TABLE1,
    "gaps": GAPS,
    "attribution": ATTRIBUTION,
    "claims": CLAIMS,
    "cells": CELLS,
    "readings": READINGS,
    "ood": OOD,
    "rivals": RIVALS,
    "svi": CURVE,
}
"""By their names below `results/tables`; the last four where a study has any."""
