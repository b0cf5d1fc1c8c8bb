"""Searching runs in MLflow, in its own words, and opening one.

What was found is kept until the store changes. What goes wrong is a ComvaeError.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from comvae.errors import ComvaeError
from comvae.results.mlflow.mirror import GENERATION
from comvae.results.mlflow.store import DIGEST
from dashboard import data
from dashboard.mlflow_store import Store, opened

if TYPE_CHECKING:
    from mlflow.entities import Run

PART = 100  # runs shown at a time: MLflow reads 100 in about half a second
ORDERS = {
    "newest": "Newest first",
    "lowest": "Lowest first",
    "highest": "Highest first",
}
RUNNING = "train_running"  # what `comvae track` calls the terms by epoch
TERMS = (*data.TERMS, "weight_kl")


@dataclass(frozen=True)
class Query:
    """Which runs to find; what is empty or None says nothing."""

    dataset: str
    model: str = ""
    seed: str = ""
    status: str = ""
    metric: str = ""
    low: float | None = None
    high: float | None = None
    order: str = "newest"  # a key of ORDERS

    @property
    def filter(self) -> str:
        """The runs that `comvae track` imported, in MLflow's own words."""
        tags = {"model": self.model, "seed": self.seed}
        terms = [f"tags.`{DIGEST}` != ''"]
        terms += [
            f"tags.{name} = {_quoted(text)}" for name, text in tags.items() if text
        ]
        if self.status:
            terms.append(f"attributes.status = {_quoted(self.status)}")
        if self.low is not None:
            terms.append(f"metrics.`{self.metric}` >= {self.low!r}")
        if self.high is not None:
            terms.append(f"metrics.`{self.metric}` <= {self.high!r}")
        return " and ".join(terms)

    @property
    def order_by(self) -> list[str]:
        """The order, in MLflow's words; its own is the newest first."""
        if self.order == "newest" or not self.metric:
            return []
        return [
            f"metrics.`{self.metric}` {'ASC' if self.order == 'lowest' else 'DESC'}"
        ]


@dataclass(frozen=True)
class Found:
    """Runs in their order: name, model, seed, status, started, and their metrics."""

    runs: pd.DataFrame
    metrics: list[str]  # which of the columns are metrics
    more: bool  # there are more runs behind these


@dataclass(frozen=True)
class Opened:
    """One run, with all that MLflow knows of it but its history and artifacts."""

    name: str
    run_id: str
    experiment_id: str
    status: str
    seconds: float | None  # of its block's training
    started: pd.Timestamp  # in UTC
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifact_uri: str

    @property
    def cell(self) -> tuple[str, str, str]:
        """Its dataset, model and seed."""
        return self.tags["dataset"], self.tags["model"], self.tags["seed"]


@lru_cache(maxsize=8)
def experiments(store: Store) -> dict[str, str]:
    """The ids of the experiments by their names, which are datasets."""
    found, token = {}, None
    with opened(store) as client:
        while True:
            page = client.search_experiments(page_token=token)
            found |= {each.name: each.experiment_id for each in page}
            token = page.token
            if not token:
                return found


@lru_cache(maxsize=64)
def search(store: Store, query: Query, part: int = 1) -> Found:
    """The runs that a query finds, `PART` at a time; `part` counts from 1."""
    experiment = experiments(store)[query.dataset]
    with opened(store) as client:
        from mlflow.utils.search_utils import SearchUtils

        first = PART * (part - 1)
        page = client.search_runs(
            [experiment],
            query.filter,
            max_results=PART,
            order_by=query.order_by,
            page_token=SearchUtils.create_page_token(first) if first else None,
        )
    rows = [
        {
            "name": run.info.run_name,
            "model": run.data.tags.get("model", ""),
            "seed": run.data.tags.get("seed", ""),
            "status": run.info.status,
            "started": _moment(run.info.start_time),
        }
        | run.data.metrics
        for run in page
    ]
    metrics = list(dict.fromkeys(name for run in page for name in run.data.metrics))
    columns = ["name", "model", "seed", "status", "started", *metrics]
    return Found(pd.DataFrame(rows, columns=columns), metrics, bool(page.token))


@lru_cache(maxsize=32)
def open_run(store: Store, name: str) -> Opened | None:
    """The run of this name; while it is imported anew, the one that is complete."""
    if not name.isprintable() or {"'", '"'} <= set(name):
        return None
    terms = f"{Query('').filter} and attributes.run_name = {_quoted(name)}"
    ids = list(experiments(store).values())
    with opened(store) as client:
        found = client.search_runs(ids, terms) if ids else []
    if not found:
        return None
    run = max(found, key=_rank)
    info, tags = run.info, {"dataset": "", "model": "", "seed": ""} | run.data.tags
    return Opened(
        name=info.run_name,
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        status=info.status,
        seconds=_seconds(info.start_time, info.end_time),
        started=_moment(info.start_time),
        params=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        tags=tags,
        artifact_uri=info.artifact_uri,
    )


@lru_cache(maxsize=32)
def history(store: Store, run_id: str) -> pd.DataFrame | None:
    """The terms of the objective by epoch, as history.csv has them; None without."""
    with opened(store) as client:
        curves = {
            term: {
                point.step: point.value
                for point in client.get_metric_history(run_id, f"{RUNNING}_{term}")
            }
            for term in TERMS
        }
    table = pd.DataFrame(curves, columns=list(TERMS), dtype=float).sort_index()
    return None if table.empty else table.rename_axis("epoch").reset_index()


def _rank(run: "Run") -> tuple[bool, int]:
    return run.info.status != "RUNNING", int(run.data.tags.get(GENERATION, 0))


def _seconds(start: int, end: int | None) -> float | None:
    return None if end is None else (end - start) / 1000


def _moment(milliseconds: int) -> pd.Timestamp:
    return pd.Timestamp(milliseconds, unit="ms")


def _quoted(text: str) -> str:
    """A text in MLflow's filters, which know no escapes; it has one kind of quotes."""
    if {"'", '"'} <= set(text):
        raise ComvaeError(f"{text}: MLflow cannot search for both kinds of quotes")
    return f"'{text}'" if "'" not in text else f'"{text}"'
