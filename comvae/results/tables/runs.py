"""Trained and evaluated blocks -> one row per run and split, and what became of it."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.files import AGAIN, check_sha256
from comvae.results.tables.rows import number, read_rows
from comvae.study.plan import Block

SPLITS = ("train", "test", "train-running")
METRICS = ("reconstruction", "latent_kl", "negative_elbo")
TERMS = dict.fromkeys((*METRICS, "weight_kl"), number)
HISTORY = dict(seed=int, epoch=int) | TERMS
EVALUATED = dict(seed=int, split=str, mode=str) | TERMS
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
    record = run / "training.json"
    try:
        training = json.loads(record.read_text())
        failed = {int(seed): why for seed, why in training["failed"].items()}
        written = training.get("sha256", {})
        check_sha256(run / "history.csv", written.get("history.csv"))
        history = read_rows(run / "history.csv", HISTORY)
        epochs = max(row["epoch"] for row in history)
        provenance = dict(
            parameters=training["parameters"],
            epochs=epochs,
            train_seconds=training["train_seconds"] / len(block.seeds),
            device=training["device"],
            config_hash=training["config_hash"],
            git_commit=training["git_commit"],
        )
        if set(failed) == set(block.seeds):
            return {}, failed, ""
        metrics = read_rows(evaluation / "metrics.csv", EVALUATED)
        last = [row for row in history if row["epoch"] == epochs]
        rows = [row for row in metrics if row["mode"] == "default"]
        rows += [row | dict(split="train-running") for row in last]
        found = {
            (row["seed"], row["split"]): {term: row[term] for term in TERMS}
            | provenance
            for row in rows
        }
    except (ResultsError, OSError) as error:
        return {}, {}, f"unreadable: {error}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, {}, f"unreadable: {record} is damaged: {error!r}; {AGAIN}"
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
