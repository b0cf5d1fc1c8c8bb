"""One active MLflow run per (dataset, model, settings, seed), whoever else imports.

MLflow has no transactions and no unique runs, and importers on different hosts have no
lock in common. What keeps them from doubling or losing a run is the rank of a run,
fixed when it is created: its generation, one more than that of every run of its cell
at the time, and among equals its id. A run is deleted only by an importer that sees a
complete run of higher rank beside it, or is its own. So nobody ever deletes the
complete run of the highest rank; and as each importer looks after its last write, the
last of them leaves that run alone.
"""

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from comvae.results.mlflow.records import CELL, Record
from comvae.results.mlflow.store import DIGEST, Store, again_if_overtaken

if TYPE_CHECKING:
    from mlflow.entities import Run

GENERATION = "comvae.generation"
IMPORT = "comvae.import"  # which import wrote the run
DONE = ("FINISHED", "FAILED")
BATCH = 900  # MLflow takes 1000 metrics, params and tags in one request
Outcome = Literal["imported", "replaced", "repaired", "unchanged"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def mirror(store: Store, records: Iterable[Record]) -> Counter[Outcome]:
    """Make each record the one active run of its cell; counts what was done."""
    outcomes: Counter[Outcome] = Counter()
    token = uuid.uuid4().hex
    by_dataset: dict[str, list[Record]] = {}
    for record in records:
        by_dataset.setdefault(record.dataset, []).append(record)
    for dataset, group in by_dataset.items():
        experiment = store.experiment(dataset)
        present: dict[tuple[str, ...], list[Run]] = {}
        for run in store.runs(experiment):
            present.setdefault(_cell_of(run), []).append(run)
        waiting = []
        for record in group:
            cell = Cell(store, experiment, record, token)
            if cell.holds(present.get(tuple(record.cell.values()), [])):
                outcomes[cell.repair()] += 1
            else:
                waiting.append(cell)
        outcomes += _import(waiting)
    return outcomes


def _import(cells: list["Cell"]) -> Counter[Outcome]:
    """Import the cells; importers at the same time share them.

    Each takes them in another order, and first those that no other is at work on.
    """
    outcomes: Counter[Outcome] = Counter()
    random.shuffle(cells)
    busy = []
    for cell in cells:
        there = cell.look()
        if any(run.data.tags[DIGEST] == cell.digest for run in there):
            busy.append(cell)  # or left behind by an importer that was killed
        else:
            outcomes[cell.fill(there)] += 1
    for cell in busy:
        there = cell.look()
        if cell.holds(there):
            outcomes[cell.repair()] += 1
        else:
            outcomes[cell.fill(there)] += 1
    return outcomes


class Cell:
    """One (dataset, model, settings, seed) in MLflow, and the record it shall show."""

    def __init__(
        self, store: Store, experiment: str, record: Record, token: str
    ) -> None:
        self.client = store.client
        self.store, self.experiment, self.record = store, experiment, record
        self.token = token
        self.digest = record.digest  # reads the artifacts
        self.kept = ""  # id of the run that shows the record

    def look(self) -> list["Run"]:
        """The active runs of this cell."""
        return self.store.runs(self.experiment, **self.record.cell)

    def holds(self, there: list["Run"]) -> bool:
        """Whether the record is there for good; what it outranks is then deleted."""
        best = min(there, key=_rank, default=None)
        if best is None or not _complete(best) or best.data.tags[DIGEST] != self.digest:
            return False
        self.kept = best.info.run_id
        self._delete_outranked(there, best)
        return True

    def repair(self) -> Outcome:
        """Upload the artifacts of the kept run that were deleted."""
        listed = {file.path for file in self.client.list_artifacts(self.kept)}
        missing = [path for path in self.record.artifacts if path.name not in listed]
        for path in missing:
            self.client.log_artifact(self.kept, str(path))
        return "repaired" if missing else "unchanged"

    def fill(self, there: list["Run"]) -> Outcome:
        """Import the record beside the runs that are there, and delete those."""
        while True:
            run_id = self._create(there)
            written = self._write(run_id)
            old = [run for run in there if run.data.tags[DIGEST] != self.digest]
            outcome: Outcome = "replaced" if any(map(_complete, old)) else "imported"
            # Only now: an interruption leaves a run too many, never one too few.
            there = self.look()
            best = min(filter(_complete, there), key=_rank, default=None)
            if best is None:
                continue  # deleted by hand in the meantime
            self._delete_outranked(there, best)
            if best.info.run_id == run_id:
                return outcome
            if written or best.data.tags[DIGEST] == self.digest:
                return "unchanged"  # an importer at the same time came out on top

    def _create(self, there: list["Run"]) -> str:
        record = self.record
        run = self.client.create_run(
            self.experiment,
            start_time=_milliseconds(record.started, _now()),
            run_name=record.name,
            tags={
                **record.tags,
                "mlflow.source.git.commit": record.tags["git_commit"],
                "mlflow.source.name": "comvae",
                "mlflow.source.type": "LOCAL",
                DIGEST: self.digest,
                GENERATION: str(1 + max(map(_generation, there), default=0)),
                IMPORT: self.token,
            },
        )
        return run.info.run_id

    def _write(self, run_id: str) -> bool:
        """Fill a run, whose status is RUNNING until all is there.

        False where another importer deleted it, having completed one of its own.
        """
        from mlflow.entities import LifecycleStage, Metric, Param
        from mlflow.exceptions import MlflowException

        record = self.record
        end = _milliseconds(record.finished, _now())
        start = _milliseconds(record.started, end)
        epochs = max(point.step for point in record.points)
        metrics = [
            Metric(name, value, start + (end - start) * step // epochs, step)
            for name, value, step in record.points
        ]
        params = [Param(name, value) for name, value in record.params.items()]
        try:
            for first in range(0, len(metrics), BATCH):
                self.client.log_batch(
                    run_id, metrics=metrics[first : first + BATCH], params=params
                )
                params = []
            self._log_dataset(run_id)
            for path in record.artifacts:
                self.client.log_artifact(run_id, str(path))
            status = "FAILED" if record.failed else "FINISHED"
            self.client.set_terminated(run_id, status=status, end_time=end)
        except MlflowException:
            stage = self.client.get_run(run_id).info.lifecycle_stage
            if stage != LifecycleStage.DELETED:
                raise
            return False
        return True

    def _log_dataset(self, run_id: str) -> None:
        """Name the dataset, which all runs of an experiment share."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": f"datasets/{self.record.dataset}/dataset.json"})
        names = self.record.dataset, self.record.data
        context = [InputTag("mlflow.data.context", "training")]
        inputs = [DatasetInput(Dataset(*names, "local", source), context)]
        again_if_overtaken(self.client.log_inputs, run_id, inputs)

    def _delete_outranked(self, there: list["Run"], best: "Run") -> None:
        for run in there:
            # A request that was sent twice, because its answer was lost, left a run of
            # this import that nobody fills.
            lost = run.data.tags.get(IMPORT) == self.token and not _complete(run)
            if lost or _rank(run) > _rank(best):
                self.client.delete_run(run.info.run_id)


def _cell_of(run: "Run") -> tuple[str, ...]:
    return tuple(run.data.tags[name] for name in CELL)


def _complete(run: "Run") -> bool:
    return run.info.status in DONE


def _generation(run: "Run") -> int:
    return int(run.data.tags.get(GENERATION, 0))


def _rank(run: "Run") -> tuple[int, str]:
    """Lower outranks higher."""
    return -_generation(run), run.info.run_id


def _now() -> int:
    return int(time.time() * 1000)


def _milliseconds(moment: datetime | None, default: int) -> int:
    return default if moment is None else int(moment.timestamp() * 1000)
