"""Trained and evaluated blocks -> one row per run and split, and what became of it."""

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.blocks import BlockFiles
from comvae.results.formats import RUNS, STATUS
from comvae.results.plausible import Bounds
from comvae.results.quantities import PAPER_METRICS, RUNNING, SPLITS, names
from comvae.results.reading import Row
from comvae.study.plan import Block


def collect(
    results: Path, blocks: Iterable[Block]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`runs`, the columns of runs.csv but the gaps, and `cells` (STATUS).

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
                runs.append(cell | dict(split=split, source="") | known)
    gaps = names("gap")
    columns = [name for name in RUNS.columns if name not in gaps]
    return (
        pd.DataFrame(runs, columns=columns),
        pd.DataFrame(cells, columns=STATUS),
    )


def _read_block(
    results: Path, block: Block
) -> tuple[dict[tuple[int, str], Row], dict[int, str], str]:
    """The block's rows by (seed, split), its failed seeds with reasons, and what is
    wrong with the block as a whole (empty if nothing is)."""
    files = BlockFiles.at(results, block.folder, block.measured)
    if not (files.run / paths.TRAINING).exists():
        fetched = paths.dataset_record(results, block.dataset).exists()
        stage = ("train", block.folder) if fetched else ("dataset", block.dataset)
        return {}, {}, f"not trained; why may stand in {paths.log_file(*stage)}"
    try:
        training, history = files.training, files.history
        if set(training.failed) == set(block.seeds):
            return {}, training.failed, ""
        metrics = files.metrics
    except (ResultsError, OSError) as error:
        return {}, {}, str(error)
    epochs = max(row["epoch"] for row in history)
    provenance = dict(
        parameters=training.parameters,
        epochs=epochs,
        train_seconds=training.train_seconds / len(block.seeds),
        device=training.device,
        config_hash=training.config_hash,
        git_commit=training.git_commit,
    )
    rows = [row for row in metrics if row["mode"] == "default"]
    rows += [row | dict(split=RUNNING) for row in history if row["epoch"] == epochs]
    found = {(row["seed"], row["split"]): row | provenance for row in rows}
    bounds, failed = Bounds.of(results, block), dict(training.failed)
    for (seed, split), row in found.items():
        if broken := bounds.broken_by(row):
            failed.setdefault(seed, f"{broken} on {split}")
    absent = [
        f"seed {seed} {split}"
        for seed in block.seeds
        for split in SPLITS
        if seed not in failed and not _whole(found.get((seed, split), {}))
    ]
    problem = f"{files.evaluation / paths.METRICS} lacks {', '.join(absent)}"
    return found, failed, problem if absent else ""


def _whole(row: Row) -> bool:
    return all(math.isfinite(row.get(name, math.nan)) for name in PAPER_METRICS)
