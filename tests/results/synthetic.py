"""Results of a study of thousands of runs, in seconds: nothing in them was trained.

`write_large_results` writes the files of results/README.md as the stages do, with
drawn numbers, so that `comvae tables`, `comvae report` and the dashboard read them as
those of a finished study. Pictures, weights and MLflow are left out. A small study with
failures and gaps in all places is in written.py.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.datasets.fetching import fetch
from comvae.engine.training import TERMS
from comvae.evaluation.elbo import modes
from comvae.results.tables import write_tables
from comvae.study.plan import Block, Plan, plan_blocks, study_json
from comvae.study.settings import Catalogue, Gap, RunConfig, Study, Training
from tests.results.written import MODELS, OPTIONS

DATASET = "digits"
SPLIT_IMAGES = {"train": 1437, "test": 360}
OVERFITTING = {"train": 0.0, "test": 0.7, "train-running": 0.4}  # nats per image


def write_large_results(
    results: Path,
    *,
    models: Sequence[str] = MODELS,
    seeds: int | Iterable[int] = 1250,
    seeds_per_block: int = 20,
    epochs: int = 50,
    gap_images: int = 0,
    tables: bool = True,
) -> Plan:
    """Write a finished study of the digits below `results`, and return its plan.

    `gap_images` of each split have their gaps measured; 0 leaves out gaps.parquet. With
    `tables`, results/tables is written too. 10,000 runs take 10 s without gaps and
    tables, whatever their blocks; the numbers depend on model and seed alone.
    """
    catalogue = Catalogue(
        study=Study(
            study="synthetic",
            datasets=[DATASET],
            models=list(models),
            seeds=seeds if isinstance(seeds, int) else list(seeds),
            training=Training(
                epochs=epochs, hidden=32, seeds_per_block=seeds_per_block
            ),
            gap=Gap(images=gap_images),
        ),
        models={model: OPTIONS[model] for model in models},
    )
    blocks = plan_blocks(catalogue, results)
    fetch(DATASET, results / "datasets" / DATASET)
    (results / "study.json").write_text(study_json(catalogue, blocks))
    if gap_images:
        _write_gap_images(results, gap_images)
    for block in blocks:
        config = catalogue.run_config(block.dataset, block.model, list(block.seeds))
        _write_block(results, block, config, gap_images)
    plan = Plan.read(results)
    if tables:
        write_tables(results, plan)
    return plan


def level(model: str, seed: int) -> tuple[float, float]:
    """Reconstruction and latent KL that a run ends training with, in nats per image.

    Models differ by about half a nat; seeds by a tenth, which pairs half away.
    """
    place = list(OPTIONS).index(model)
    shared = np.random.default_rng(seed).normal(0, 0.1)
    own = np.random.default_rng([place, seed]).normal(0, 0.1, 2)
    return 20 - 0.5 * place + shared + own[0], 6 + 0.2 * place + own[1]


def _write_block(
    results: Path, block: Block, config: RunConfig, gap_images: int
) -> None:
    run, evaluation = (
        results / kind / block.folder for kind in ("runs", "evaluations")
    )
    run.mkdir(parents=True, exist_ok=True)
    evaluation.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(config.to_json() + "\n")
    levels = {seed: level(block.model, seed) for seed in block.seeds}
    _write_csv(run / "history.csv", ("seed", "epoch"), _history(config, levels))
    _write_csv(
        evaluation / "metrics.csv",
        ("seed", "split", "mode", "images"),
        _metrics(config, levels),
    )
    if gap_images:
        gaps = pd.concat(
            [
                _gaps(seed, split, gap_images, sum(levels[seed]) + OVERFITTING[split])
                for seed in block.seeds
                for split in SPLIT_IMAGES
            ]
        )
        gaps.to_parquet(evaluation / "gaps.parquet", index=False)
    record = {
        "config_hash": config.config_hash,
        "git_commit": "synthetic",
        "device": "cpu",
        "threads": 1,
        "train_seconds": 12.5 * len(block.seeds),
        "parameters": 4714,
        "failed": {},
        "finished_at": "2026-01-01T00:00:00+00:00",
        "versions": {"python": "3.11", "comvae": "0.1.0"},
    }
    (run / "training.json").write_text(json.dumps(record, indent=2))


def _history(config: RunConfig, levels: dict[int, tuple[float, float]]) -> list[tuple]:
    """Rows of history.csv: an early surplus of 30 nats falls off as 1 / epoch."""
    epochs = config.training.epochs
    shift = OVERFITTING["train-running"]
    return [
        (seed, epoch, *_terms(config, first + shift + 30 / epoch - 30 / epochs, second))
        for seed, (first, second) in levels.items()
        for epoch in range(1, epochs + 1)
    ]


def _metrics(config: RunConfig, levels: dict[int, tuple[float, float]]) -> list[tuple]:
    """Rows of metrics.csv: the other modes are a tenth of a nat worse each, and weights
    at their means have no KL."""
    rows = []
    for seed, (first, second) in levels.items():
        for split in sorted(SPLIT_IMAGES):
            for worse, mode in enumerate(modes(config.options)):
                reconstruction = first + OVERFITTING[split] + 0.1 * worse
                *terms, weight_kl = _terms(config, reconstruction, second)
                if mode == "mean-weights":
                    weight_kl = ""
                rows.append((seed, split, mode, SPLIT_IMAGES[split], *terms, weight_kl))
    return rows


def _terms(config: RunConfig, reconstruction: float, latent_kl: float) -> tuple:
    """TERMS of one row."""
    weight_kl = 0.0 if config.options.weight_prior is None else 906.0
    return reconstruction, latent_kl, reconstruction + latent_kl, weight_kl


def _gaps(seed: int, split: str, images: int, negative_elbo: float) -> pd.DataFrame:
    """Rows of gaps.parquet: skewed gaps of one nat and of half a nat in the mean."""
    generator = np.random.default_rng([seed, SPLIT_IMAGES[split], images])
    elbo = -negative_elbo + generator.normal(0, 4, images)
    optimal = elbo + generator.gamma(2, 0.5, images)
    log_px = optimal + generator.gamma(1, 0.5, images)
    image = np.arange(images)
    return pd.DataFrame(
        {
            "seed": seed,
            "split": split,
            "image": image,
            "elbo": elbo,
            "elbo_mean_weights": elbo + 0.05,
            "elbo_marginal": elbo + 0.1,
            "elbo_optimal": optimal,
            "log_px": log_px,
            "log_px_is": log_px - 0.01,
            "log_px_ais": np.where(image < 100, log_px + 0.01, np.nan),
            "ess": generator.uniform(500, 2000, images),
            "iterations": generator.integers(4, 40, images),
            "converged": True,
            "start": "encoder",
            "start_difference": generator.exponential(1e-3, images).astype("float32"),
        }
    )


def _write_gap_images(results: Path, images: int) -> None:
    listed = {split: list(range(images)) for split in SPLIT_IMAGES}
    path = results / "evaluations" / DATASET / "gap-images.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"dataset": DATASET} | listed))


def _write_csv(path: Path, names: tuple[str, ...], rows: list[tuple]) -> None:
    """As pandas writes it, which takes a millisecond a file."""
    lines = [",".join((*names, *TERMS))]
    lines += [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")
