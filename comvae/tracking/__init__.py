"""The finished runs of `results/` as MLflow runs: one per (dataset, model, seed).

MLflow is a mirror: it can be deleted and imported again, and importing twice changes
nothing. This is the one part of `comvae` that imports MLflow, and only when used.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from comvae.config import load_run_config
from comvae.errors import ResultsError, SettingsError
from comvae.tracking.records import Record, records_of
from comvae.tracking.sources import read_source
from comvae.tracking.store import (
    DIGEST,
    Store,
    TrackingError,
    open_store,
    without_password,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Summary", "TrackingError", "find_blocks", "track"]

DONE = ("FINISHED", "FAILED")
BATCH = 900  # MLflow takes 1000 metrics, params and tags in one request
Outcome = Literal["imported", "replaced", "repaired", "unchanged"]


@dataclass(frozen=True)
class Summary:
    """What an import did, in runs; `skipped` says why a block was not imported."""

    uri: str
    imported: int
    replaced: int  # their files had changed
    repaired: int  # their artifacts had been deleted
    unchanged: int
    removed: int  # their block is gone
    skipped: dict[str, str]

    def __str__(self) -> str:
        counts = ", ".join(
            f"{getattr(self, name)} {name}"
            for name in ("imported", "replaced", "repaired", "unchanged", "removed")
        )
        lines = [f"MLflow: {counts} ({self.uri})"]
        lines += [f"not imported: {why}" for why in self.skipped.values()]
        return "\n".join(lines)


def find_blocks(results: Path) -> list[Path]:
    """The folders of all blocks under `results/runs`, sorted."""
    return sorted(path.parent for path in results.glob("runs/*/*/*/run.json"))


def track(
    results: Path, blocks: Iterable[Path] | None = None, uri: str | None = None
) -> Summary:
    """Import every finished run of `blocks` into MLflow.

    `blocks` are folders `results/runs/<dataset>/<model>/<block>`, by default all of
    them. `uri` is an MLflow tracking URI, by default the SQLite store in
    `results/mlflow`. The experiment of a run is its dataset. Raises TrackingError where
    the store cannot be used and ResultsError where two blocks hold the same run.
    """
    with open_store(results, uri) as store:
        # Read under the lock, so that an older reading never replaces a newer one.
        records, skipped = _read(results, blocks)
        outcomes: Counter[Outcome] = Counter()
        for dataset in dict.fromkeys(record.dataset for record in records):
            experiment = store.experiment(dataset)
            present: dict[tuple[str, str], list[Run]] = {}
            for run in store.runs(experiment):
                cell = run.data.tags["model"], run.data.tags["seed"]
                present.setdefault(cell, []).append(run)
            for record in records:
                if record.dataset == dataset:
                    there = present.get((record.model, str(record.seed)), [])
                    outcomes[_mirror(store, experiment, record, there)] += 1
        removed = _remove_vanished(store, results) if store.is_mirror else 0
    return Summary(
        uri=without_password(store.uri),
        imported=outcomes["imported"],
        replaced=outcomes["replaced"],
        repaired=outcomes["repaired"],
        unchanged=outcomes["unchanged"],
        removed=removed,
        skipped=skipped,
    )


def _read(
    results: Path, blocks: Iterable[Path] | None
) -> tuple[list[Record], dict[str, str]]:
    records: dict[str, Record] = {}
    skipped: dict[str, str] = {}
    for block in find_blocks(results) if blocks is None else blocks:
        try:
            found = records_of(read_source(results, block))
        except ResultsError as error:
            skipped[str(block)] = str(error)
            continue
        for record in found:
            twin = records.setdefault(record.name, record)
            if twin is not record:
                raise ResultsError(
                    f"{block}: holds seed {record.seed} of {record.model} on "
                    f"{record.dataset}, and so does the block {twin.tags['block']}; "
                    "delete the folder of the one that the study does not name"
                )
    return list(records.values()), skipped


def _mirror(
    store: Store, experiment: str, record: Record, there: list["Run"]
) -> Outcome:
    """Make `record` the one active run of its cell; `there` are its runs so far."""
    digest = record.digest
    complete = [run for run in there if run.info.status in DONE]
    same = [run for run in complete if run.data.tags[DIGEST] == digest]
    outcome: Outcome
    if same:
        kept = min(run.info.run_id for run in same)
        outcome = "repaired" if _upload_missing(store, kept, record) else "unchanged"
    else:
        kept = _import(store, experiment, record, digest)
        outcome = "replaced" if complete else "imported"
    # Only now: an interruption leaves a run too many, never one too few.
    for run in there:
        if run.info.run_id != kept:
            store.client.delete_run(run.info.run_id)
    return outcome


def _import(store: Store, experiment: str, record: Record, digest: str) -> str:
    """Write one run and return its id; its status is RUNNING until all is there."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    start = _milliseconds(record.started, now)
    end = _milliseconds(record.finished, now)
    run = store.client.create_run(
        experiment,
        start_time=start,
        run_name=record.name,
        tags={
            **record.tags,
            "mlflow.source.git.commit": record.tags["git_commit"],
            DIGEST: digest,
        },
    )
    run_id = run.info.run_id
    epochs = max(point.step for point in record.points)
    metrics = [
        Metric(name, value, start + (end - start) * step // epochs, step)
        for name, value, step in record.points
    ]
    params = [Param(name, value) for name, value in record.params.items()]
    for first in range(0, len(metrics), BATCH):
        store.client.log_batch(
            run_id, metrics=metrics[first : first + BATCH], params=params
        )
        params = []
    for path in record.artifacts:
        store.client.log_artifact(run_id, str(path))
    status = "FAILED" if record.failed else "FINISHED"
    store.client.set_terminated(run_id, status=status, end_time=end)
    return run_id


def _upload_missing(store: Store, run_id: str, record: Record) -> bool:
    """Upload the artifacts that were deleted; says whether there were any."""
    listed = {file.path for file in store.client.list_artifacts(run_id)}
    missing = [path for path in record.artifacts if path.name not in listed]
    for path in missing:
        store.client.log_artifact(run_id, str(path))
    return bool(missing)


def _remove_vanished(store: Store, results: Path) -> int:
    """Delete the runs whose block was deleted, or no longer holds their seed."""
    removed = 0
    for experiment in store.experiments():
        for run in store.runs(experiment):
            tags = run.data.tags
            block = results / "runs" / tags["dataset"] / tags["model"] / tags["block"]
            if not _holds(block / "run.json", int(tags["seed"])):
                store.client.delete_run(run.info.run_id)
                removed += 1
    return removed


def _holds(config: Path, seed: int) -> bool:
    try:
        return seed in load_run_config(config).seeds
    except SettingsError:
        return config.exists()  # unreadable is not gone: skipped with its reason


def _milliseconds(moment: datetime | None, default: int) -> int:
    return default if moment is None else int(moment.timestamp() * 1000)
