"""The files of one finished block, read and checked."""

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from comvae.errors import ResultsError, SettingsError
from comvae.files import AGAIN, check_sha256
from comvae.results.csv_files import read_csv
from comvae.results.tables.gaps import image_means, read_gaps
from comvae.study.settings import RunConfig, load_run_config

# The columns of every table of ELBO terms (`engine.training` would import torch).
TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]


class Training(BaseModel):
    """What MLflow is told of `training.json`."""

    config_hash: str
    git_commit: str | None = None
    device: str
    train_seconds: float = Field(ge=0, allow_inf_nan=False)  # of the block
    parameters: int  # of one seed
    versions: dict[str, str] = {}
    failed: dict[int, str] = {}  # seed -> why
    sha256: dict[str, str] = {}  # of the files beside it, by name
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Source:
    """A finished block: its files in the folders `block` and `evaluation`."""

    block: Path
    evaluation: Path
    config: RunConfig
    training: Training
    history: pd.DataFrame
    metrics: pd.DataFrame
    gaps: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    gaps_problem: str = ""  # why gaps.parquet is there and cannot be used

    @property
    def gaps_file(self) -> Path:
        """The gaps of each image, of all seeds of the block."""
        return self.evaluation / "gaps.parquet"


def read_source(results: Path, block: Path) -> Source:
    """The block in the folder `results/runs/<dataset>/<model>/<block>`.

    Raises ResultsError where it is not finished: a file is missing, damaged, or of
    another configuration than the block's `run.json`.
    """
    place = Path(os.path.relpath(block, results / "runs"))
    if len(place.parts) != 3 or ".." in place.parts:
        raise ResultsError(
            f"{block}: is no folder of a block, expected "
            f"{results / 'runs'}/<dataset>/<model>/<block>"
        )
    evaluation = results / "evaluations" / place
    config = _read_config(block, place)
    training = _read_training(block / "training.json", config)
    if (block / "history.csv").exists():
        check_sha256(block / "history.csv", training.sha256.get("history.csv"))
    history = _read_table(block / "history.csv", ["seed", "epoch", *TERMS])
    columns = ["seed", "split", "mode", *TERMS]
    if set(config.seeds) <= set(training.failed):
        metrics = pd.DataFrame(columns=columns)  # nothing was left to evaluate
    else:
        metrics = _read_table(evaluation / "metrics.csv", columns)
    gaps, problem = _read_gaps(evaluation / "gaps.parquet")
    source = Source(
        block, evaluation, config, training, history, metrics, gaps, problem
    )
    for seed in config.seeds:
        if seed not in training.failed:
            _check_complete(source, seed)
    return source


def _read_gaps(path: Path) -> tuple[dict[tuple[int, str], dict[str, float]], str]:
    """The means over the images by (seed, split), where gaps were measured, and what
    is wrong with them: runs without gaps are imported all the same."""
    if not path.exists():
        return {}, ""
    try:
        return image_means(read_gaps(path)), ""
    except ResultsError as error:
        return {}, str(error)


def _check_complete(source: Source, seed: int) -> None:
    history, metrics = source.history, source.metrics
    epochs = source.config.training.epochs
    found = sorted(history["epoch"][history["seed"] == seed])
    if found != list(range(1, epochs + 1)):
        raise ResultsError(
            f"{source.block / 'history.csv'}: found {len(found)} epochs of seed "
            f"{seed}, expected each of 1 to {epochs} once; train the block again"
        )
    default = (metrics["seed"] == seed) & (metrics["mode"] == "default")
    splits = sorted(metrics["split"][default])
    if splits != ["test", "train"]:
        raise ResultsError(
            f"{source.evaluation / 'metrics.csv'}: found the splits {splits} of seed "
            f"{seed} in mode `default`, expected `test` and `train` once each; "
            "evaluate the block again"
        )


def _read_config(block: Path, place: Path) -> RunConfig:
    try:
        config = load_run_config(block / "run.json")
    except SettingsError as error:
        raise ResultsError(str(error)) from None
    if place.parts[:2] != (config.dataset, config.model):
        raise ResultsError(
            f"{block / 'run.json'}: is of {config.dataset}/{config.model}, expected "
            f"{place.parent}; configure the block again"
        )
    return config


def _read_training(path: Path, config: RunConfig) -> Training:
    try:
        training = Training.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise _not_there(path) from None
    except (OSError, ValidationError) as error:
        flat = " ".join(str(error).split())
        raise ResultsError(f"{path} is damaged: {flat}; {AGAIN}") from None
    if training.config_hash != config.config_hash:
        raise ResultsError(
            f"{path}: is of config {training.config_hash}, but run.json beside it is "
            f"config {config.config_hash}; train the block again"
        )
    return training


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        raise _not_there(path)
    try:
        table = read_csv(path)
    except ResultsError as error:
        raise ResultsError(f"{error}; {AGAIN}") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise ResultsError(
            f"{path}: found the columns {list(table)}, expected also {missing}"
        )
    for column in set(columns) - {"split", "mode"}:
        try:
            table[column] = pd.to_numeric(table[column])
        except ValueError as error:
            raise ResultsError(
                f"{path}: column `{column}` holds no numbers ({error})"
            ) from None
    return table


def _not_there(path: Path) -> ResultsError:
    return ResultsError(f"{path}: is not there, the block is not finished")
