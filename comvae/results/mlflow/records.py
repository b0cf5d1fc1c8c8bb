"""Finished runs as MLflow shall show them: parameters, metrics, tags, artifacts."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from comvae.results.mlflow.sources import TERMS, Source, Training
from comvae.study.settings import RunConfig

RUNNING = "train_running"  # the split `train-running` of runs.csv, epoch by epoch


class Point(NamedTuple):
    """One value of one metric; `step` is the epoch."""

    metric: str
    value: float
    step: int


@dataclass(frozen=True)
class Record:
    """What MLflow is told about one run: one (dataset, model, seed)."""

    dataset: str
    model: str
    seed: int
    failed: bool
    started: datetime | None
    finished: datetime | None
    params: dict[str, str]
    points: list[Point]  # finite values only
    tags: dict[str, str]
    artifacts: list[Path]

    @property
    def name(self) -> str:
        """The name of the run in MLflow."""
        return f"{self.model}-{self.dataset}-seed-{self.seed}"

    @property
    def digest(self) -> str:
        """Hash of everything in this record and of the bytes of its artifacts."""
        values = asdict(self) | {"artifacts": [path.name for path in self.artifacts]}
        text = json.dumps(values, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode())
        for path in self.artifacts:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]


def records_of(source: Source) -> list[Record]:
    """One record per seed of a finished block."""
    return [_record(source, seed) for seed in source.config.seeds]


def _record(source: Source, seed: int) -> Record:
    config, training = source.config, source.training
    started, finished = _times(training)
    points = list(_points(source, seed))
    pictures = source.evaluation / "pictures"
    artifacts = [
        source.block / "run.json",
        pictures / f"seed-{seed}-reconstructions.png",
        pictures / f"seed-{seed}-samples.png",
    ]
    if any(measured == seed for measured, _ in source.gaps):
        artifacts.append(source.gaps_file)
    return Record(
        dataset=config.dataset,
        model=config.model,
        seed=seed,
        failed=seed in training.failed,
        started=started,
        finished=finished,
        params=_params(config) | {"parameters": str(training.parameters)},
        points=[point for point in points if math.isfinite(point.value)],
        tags=_tags(source, seed, points),
        artifacts=[path for path in artifacts if path.is_file()],
    )


def _points(source: Source, seed: int) -> Iterator[Point]:
    history = source.history[source.history["seed"] == seed]
    for row in history.to_dict("records"):
        for term in TERMS:
            yield Point(f"{RUNNING}_{term}", float(row[term]), int(row["epoch"]))
    epochs = source.config.training.epochs
    metrics = source.metrics[source.metrics["seed"] == seed]
    for row in metrics.to_dict("records"):
        suffix = "" if row["mode"] == "default" else f"_{row['mode']}"
        for term in TERMS:
            name = f"{row['split']}_{term}{suffix}".replace("-", "_")
            yield Point(name, float(row[term]), epochs)
    for (measured, split), means in source.gaps.items():
        for quantity, mean in means.items() if measured == seed else ():
            if math.isnan(mean):
                continue  # a bound that this model does not have
            yield Point(f"{split}_{quantity}", float(mean), epochs)
    # The block's wall time divided by its seeds, as in runs.csv.
    seconds = source.training.train_seconds / len(source.config.seeds)
    yield Point("train_seconds", seconds, epochs)


def _tags(source: Source, seed: int, points: list[Point]) -> dict[str, str]:
    config, training = source.config, source.training
    tags = {
        "dataset": config.dataset,
        "model": config.model,
        "seed": str(seed),
        "block": source.block.name,
        "config_hash": training.config_hash,
        "git_commit": training.git_commit or "unknown",
        "device": training.device,
    }
    tags |= {f"version.{name}": version for name, version in training.versions.items()}
    if seed in training.failed:
        tags["comvae.failure"] = training.failed[seed]
    if source.gaps_problem:
        tags["comvae.gaps"] = source.gaps_problem
    if missing := _non_finite(points):
        tags["comvae.non_finite"] = missing
    return tags


def _non_finite(points: list[Point]) -> str:
    """Which values are left out: MLflow would store an infinity as 1.8e308."""
    steps: dict[str, list[int]] = {}
    for point in points:
        if not math.isfinite(point.value):
            steps.setdefault(point.metric, []).append(point.step)
    return ", ".join(
        f"{metric} ({len(found)} from epoch {min(found)})"
        for metric, found in steps.items()
    )


def _times(training: Training) -> tuple[datetime | None, datetime | None]:
    finished = training.finished_at
    if finished is None:
        return None, None
    if finished.tzinfo is None:
        finished = finished.replace(tzinfo=UTC)
    return finished - timedelta(seconds=training.train_seconds), finished


def _params(config: RunConfig) -> dict[str, str]:
    """The settings of `run.json` by dotted name, spelled as JSON spells them."""
    settings = config.model_dump(mode="json", include={"options", "training", "data"})
    return dict(_flat(settings))


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{key}", text
