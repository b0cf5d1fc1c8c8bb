"""The files of a block, each read once and checked; nothing here imports torch."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from comvae.errors import ResultsError, SettingsError
from comvae.files import check_sha256, check_sum, replacing
from comvae.results import paths
from comvae.results.formats import HISTORY, METRICS, Format
from comvae.results.reading import (
    Row,
    damaged,
    kept,
    read_bytes,
    read_columns,
    rows_of,
)
from comvae.study.run_config import RunConfig, load_run_config


class Training(BaseModel):
    """`training.json`: how a block was trained, and what lies beside it."""

    config_hash: str
    git_commit: str = "unknown"
    device: str = "unknown"
    threads: int | None = None
    train_seconds: float = Field(ge=0, allow_inf_nan=False)  # of the block
    parameters: int  # of one seed
    failed: dict[int, str]  # seed -> why
    sha256: dict[str, str] = {}  # of the files beside it, by name
    finished_at: datetime | None = None
    versions: dict[str, str] = {}  # of libraries


@dataclass(frozen=True)
class BlockFiles:
    """A block's files in the folders of its run and of its evaluation.

    Whatever is asked for raises ResultsError where its file is missing or damaged.
    """

    run: Path
    evaluation: Path

    @classmethod
    def at(cls, results: Path, place: str | Path, measured: str) -> "BlockFiles":
        """Those of the block at a place, measured with the settings of that hash."""
        run, evaluation = paths.run_folder, paths.evaluation_folder
        return cls(run(results, place), evaluation(results, place, measured))

    @cached_property
    def config(self) -> RunConfig:
        """The resolved config of the block."""
        try:
            return load_run_config(self.run / paths.CONFIG)
        except SettingsError as error:
            raise ResultsError(str(error)) from None

    @cached_property
    def training(self) -> Training:
        """How the block was trained."""
        return read_training(self.run)

    @cached_property
    def history(self) -> list[Row]:
        """One row per seed and epoch: the averages over the epoch while training."""
        path = self.run / paths.HISTORY
        rows = _some_rows(path, HISTORY)
        check_sha256(path, self.training.sha256.get(path.name))
        return rows

    @cached_property
    def metrics(self) -> list[Row]:
        """One row per seed, split and mode: the evaluation after training."""
        path = self.evaluation / paths.METRICS
        rows = _some_rows(path, METRICS)
        check_sum(path)
        return rows


def _some_rows(path: Path, expected: Format) -> list[Row]:
    rows = rows_of(read_columns(path, expected))
    if not rows:
        raise damaged(path, "it has no rows")
    return rows


def read_training(run: Path) -> Training:
    """The training.json in the folder of a run; raises ResultsError."""
    training = load_training(run)
    if training is None:
        raise ResultsError(
            f"{run / paths.TRAINING} is missing: no {paths.WEIGHTS} beside it counts; "
            "train the block first: run the study"
        )
    return training


def load_training(run: Path) -> Training | None:
    """What `read_training` gives, kept until the file changes; None without a file."""
    return _load_training(run / paths.TRAINING)


@kept(1 << 14)
def _load_training(path: Path) -> Training:
    try:
        return Training.model_validate_json(read_bytes(path))
    except ValidationError as error:
        raise damaged(path, error) from None


def trained_with(run: Path, config: RunConfig) -> Training:
    """The training.json of a block; raises ResultsError for that of another config."""
    training = read_training(run)
    if training.config_hash != config.config_hash:
        raise ResultsError(
            f"{run / paths.TRAINING}: is of config {training.config_hash}, but "
            f"{paths.CONFIG} beside it is config {config.config_hash}; train it again"
        )
    return training


def is_trained(run: Path, config: RunConfig) -> bool:
    """Whether the block is trained with this config, and its files are as written."""
    try:
        for name, expected in trained_with(run, config).sha256.items():
            check_sha256(run / name, expected)
    except (OSError, ResultsError):
        return False
    return True


def sound_seeds(run: Path, config: RunConfig) -> list[int]:
    """The seeds of a block whose training did not fail; raises ResultsError."""
    failed = read_training(run).failed
    return [seed for seed in config.seeds if seed not in failed]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file, or by its name a Parquet file, whole or not at all."""
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
