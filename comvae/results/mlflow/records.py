"""Finished runs as MLflow shall show them: parameters, metrics, tags, artifacts."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.blocks import BlockFiles, Training, trained_with
from comvae.results.gap_files import read_gaps
from comvae.results.quantities import EVALUATED_SPLITS, RUNNING, names
from comvae.results.tables.gaps import image_means
from comvae.study.run_config import RunConfig

CELL = ("model", "config_hash", "seed")
"""The tags that tell the runs of an experiment apart."""

Gaps = dict[tuple[int, str], dict[str, float]]
"""Means over the images by (seed, split)."""


class Point(NamedTuple):
    """One value of one metric; `step` is the epoch."""

    metric: str
    value: float
    step: int


@dataclass(frozen=True)
class Record:
    """What MLflow is told about one run: one (dataset, model, settings, seed)."""

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
    data: str  # the beginning of the checksum of the dataset

    @property
    def name(self) -> str:
        """The name of the run in MLflow."""
        return f"{self.model}-{self.dataset}-seed-{self.seed}"

    @property
    def cell(self) -> dict[str, str]:
        """The tags that tell the run from all others of its dataset."""
        return {name: self.tags[name] for name in CELL}

    @property
    def digest(self) -> str:
        """Hash of everything in this record and of the bytes of its artifacts."""
        values = asdict(self) | {"artifacts": [path.name for path in self.artifacts]}
        text = json.dumps(values, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode())
        for path in self.artifacts:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]


def read_records(results: Path, folder: Path, measured: str) -> list[Record]:
    """One record per seed of the block in the folder of its run, as it was measured
    with the settings of that hash.

    Raises ResultsError where it is not finished: a file is missing, damaged, or of
    another configuration than the block's `run.json`.
    """
    place = paths.place_of(results, folder)
    files = BlockFiles.at(results, place, measured)
    config = files.config
    trained_with(files.run, config)
    own = Path(config.dataset, config.model, config.config_hash)
    if place.parent != own:
        raise ResultsError(
            f"{files.run / paths.CONFIG}: is of {own}, "
            f"expected {place.parent}; configure the block again"
        )
    for seed in config.seeds:
        if seed not in files.training.failed:
            _check_complete(files, seed)
    gaps, problem = _read_gaps(files.evaluation / paths.GAPS)
    return [_record(files, seed, gaps, problem) for seed in config.seeds]


def _check_complete(files: BlockFiles, seed: int) -> None:
    epochs = files.config.training.epochs
    found = sorted(row["epoch"] for row in files.history if row["seed"] == seed)
    if found != list(range(1, epochs + 1)):
        raise ResultsError(
            f"{files.run / paths.HISTORY}: found {len(found)} epochs of seed {seed}, "
            f"expected each of 1 to {epochs} once; train the block again"
        )
    splits = [
        row["split"]
        for row in files.metrics
        if row["seed"] == seed and row["mode"] == "default"
    ]
    if sorted(splits) != sorted(EVALUATED_SPLITS):
        raise ResultsError(
            f"{files.evaluation / paths.METRICS}: found the splits {sorted(splits)} of "
            f"seed {seed} in mode `default`, expected {sorted(EVALUATED_SPLITS)}; "
            "evaluate the block again"
        )


def _read_gaps(path: Path) -> tuple[Gaps, str]:
    """The gaps where they were measured, and what is wrong with them: runs without gaps
    are imported all the same."""
    if not path.exists():
        return {}, ""
    try:
        return image_means(read_gaps(path)), ""
    except ResultsError as error:
        return {}, str(error)


def _record(files: BlockFiles, seed: int, gaps: Gaps, problem: str) -> Record:
    config, training = files.config, files.training
    started, finished = _times(training)
    points = list(_points(files, seed, gaps))
    artifacts = [
        files.run / paths.CONFIG,
        paths.picture(files.evaluation, seed, "reconstructions"),
        paths.picture(files.evaluation, seed, "samples"),
    ]
    if any(measured == seed for measured, _ in gaps):
        artifacts.append(files.evaluation / paths.GAPS)
    return Record(
        dataset=config.dataset,
        model=config.model,
        seed=seed,
        failed=seed in training.failed,
        started=started,
        finished=finished,
        params=_params(config) | {"parameters": str(training.parameters)},
        points=[point for point in points if math.isfinite(point.value)],
        tags=_tags(files, seed, points, problem),
        artifacts=[path for path in artifacts if path.is_file()],
        data=config.dataset_sha256[:16] or "unknown",
    )


def metric_name(split: str, quantity: str, mode: str = "default") -> str:
    """What MLflow calls a quantity of a split; `train-running` is epoch by epoch."""
    suffix = "" if mode == "default" else f"_{mode}"
    return f"{split}_{quantity}{suffix}".replace("-", "_")


def _points(files: BlockFiles, seed: int, gaps: Gaps) -> Iterator[Point]:
    training, epochs = files.training, files.config.training.epochs
    evaluated = names("evaluation")
    for row in files.history:
        for name in evaluated if row["seed"] == seed else ():
            if name in row:
                yield Point(metric_name(RUNNING, name), row[name], row["epoch"])
    all_failed = set(files.config.seeds) <= set(training.failed)  # none was evaluated
    for row in () if all_failed else files.metrics:
        for name in evaluated if row["seed"] == seed else ():
            if name in row:
                metric = metric_name(row["split"], name, row["mode"])
                yield Point(metric, row[name], epochs)
    for (measured, split), means in gaps.items():
        for name, mean in means.items() if measured == seed else ():
            if not math.isnan(mean):  # else a bound that this model does not have
                yield Point(metric_name(split, name), mean, epochs)
    # The block's wall time divided by its seeds, as in runs.csv.
    yield Point(
        "train_seconds", training.train_seconds / len(files.config.seeds), epochs
    )


def _tags(
    files: BlockFiles, seed: int, points: list[Point], problem: str
) -> dict[str, str]:
    config, training = files.config, files.training
    tags = {
        "dataset": config.dataset,
        "model": config.model,
        "seed": str(seed),
        "block": files.run.name,
        "config_hash": training.config_hash,
        "git_commit": training.git_commit,
        "device": training.device,
    }
    if start := config.options.starts_from:
        tags["starts_from"] = f"{start}/{config.parent}"
    tags |= {f"version.{name}": version for name, version in training.versions.items()}
    tags |= {
        "comvae.failure": training.failed.get(seed, ""),
        "comvae.gaps": problem,
        "comvae.non_finite": _non_finite(points),
    }
    return {name: text for name, text in tags.items() if text}


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
