"""Trained and evaluated blocks -> one row per run and split, and what became of it."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.plan import Block

SPLITS = ("train", "test", "train-running")
METRICS = ("reconstruction", "latent_kl", "negative_elbo")
TRAINED_COLUMNS = [
    *("dataset", "model", "seed", "split"),
    *("reconstruction", "latent_kl", "negative_elbo", "weight_kl"),
    *("parameters", "epochs", "train_seconds"),
    *("device", "config_hash", "git_commit"),
]
STATUS_COLUMNS = ["dataset", "model", "seed", "status", "block", "detail"]


def collect(
    results: Path, blocks: Iterable[Block]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`runs` (TRAINED_COLUMNS) and `cells` (STATUS_COLUMNS) of the blocks.

    A run that is missing or failed has its rows in `runs`, with empty metrics.
    """
    runs, cells = [], []
    for block in blocks:
        rows, failed, problem = _read_block(results, block)
        for seed in block.seeds:
            cell = dict(dataset=block.dataset, model=block.model, seed=seed)
            detail = failed.get(seed, problem)
            status = (
                "failed" if seed in failed else "missing" if problem else "finished"
            )
            cells.append(cell | dict(status=status, block=block.name, detail=detail))
            for split in SPLITS:
                known = rows.get((seed, split), {}) if status == "finished" else {}
                runs.append(cell | dict(split=split) | known)
    return (
        pd.DataFrame(runs, columns=TRAINED_COLUMNS),
        pd.DataFrame(cells, columns=STATUS_COLUMNS),
    )


def _read_block(
    results: Path, block: Block
) -> tuple[dict[tuple[int, str], dict], dict[int, str], str]:
    """The block's rows by (seed, split), its failed seeds with reasons, and what is
    wrong with the block as a whole (empty if nothing is)."""
    run, evaluation = (
        results / kind / block.folder for kind in ("runs", "evaluations")
    )
    if not (run / "training.json").exists():
        fetched = (results / "datasets" / block.dataset / "dataset.json").exists()
        stage = f"train/{block.folder}" if fetched else f"dataset/{block.dataset}"
        return {}, {}, f"not trained; why may stand in logs/{stage}.log"
    try:
        training = json.loads((run / "training.json").read_text())
        failed = {int(seed): why for seed, why in training["failed"].items()}
        history = _read_csv(run / "history.csv", ["seed", "epoch"])
        provenance = dict(
            parameters=training["parameters"],
            epochs=int(history["epoch"].max()),
            train_seconds=training["train_seconds"] / len(block.seeds),
            device=training["device"],
            config_hash=training["config_hash"],
            git_commit=training["git_commit"],
        )
        if set(failed) == set(block.seeds):
            return {}, failed, ""
        metrics = _read_csv(evaluation / "metrics.csv", ["seed", "split", "mode"])
        last = history[history["epoch"] == history["epoch"].max()]
        rows = pd.concat(
            [metrics[metrics["mode"] == "default"], last.assign(split="train-running")]
        )
        columns = ["seed", "split", *METRICS, "weight_kl"]
        found = {
            (row.pop("seed"), row["split"]): row | provenance
            for row in rows[columns].to_dict("records")
        }
    except (
        ResultsError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        return {}, {}, f"unreadable: {error}"
    absent = [
        f"seed {seed} {split}"
        for seed in block.seeds
        for split in SPLITS
        if seed not in failed and not _whole(found.get((seed, split), {}))
    ]
    problem = f"{evaluation / 'metrics.csv'} lacks {', '.join(absent)}"
    return found, failed, problem if absent else ""


def _whole(row: dict) -> bool:
    return all(math.isfinite(row.get(metric, math.nan)) for metric in METRICS)


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        raise ResultsError(f"{path} is missing")
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise ResultsError(f"{path} is damaged: {error}") from None
    missing = {*columns, *METRICS, "weight_kl"} - set(table.columns)
    if missing or table.empty:
        wanted = ", ".join(sorted(missing)) or "rows"
        raise ResultsError(f"{path} is damaged: it has no {wanted}")
    text = [
        c for c in ("seed", *METRICS, "weight_kl") if table[c].dtype.kind not in "if"
    ]
    if text:
        raise ResultsError(f"{path} is damaged: {', '.join(text)} holds text")
    return table
