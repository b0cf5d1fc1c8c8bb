"""Results of a study of thousands of runs, in seconds: nothing in them was trained.

`write_large_results` writes the files of results/README.md as the stages do, with
drawn numbers, so that `comvae tables`, `comvae report` and the dashboard read them as
those of a finished study. Pictures, weights and MLflow are left out. A small study with
failures and gaps in all places is in written.py.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.datasets.fetching import fetch
from comvae.results.tables import write_tables
from comvae.study.plan import Block, Plan, plan_blocks, study_json
from comvae.study.settings import Catalogue, Gap, RunConfig, Study, Training
from tests.results.written import MODELS, OPTIONS, Terms, modes, write_block

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
    levels = {seed: level(block.model, seed) for seed in block.seeds}
    files = write_block(
        results,
        config,
        _terms(config, levels),
        images=SPLIT_IMAGES,
        device="cpu",
        train_seconds=12.5 * len(block.seeds),
        parameters=4714,
    )
    if gap_images:
        gaps = pd.concat(
            [
                _gaps(seed, split, gap_images, sum(levels[seed]) + OVERFITTING[split])
                for seed in block.seeds
                for split in SPLIT_IMAGES
            ]
        )
        gaps.to_parquet(files.evaluation / "gaps.parquet", index=False)


def _terms(config: RunConfig, levels: dict[int, tuple[float, float]]) -> Terms:
    """The terms of a row: in training an early surplus of 30 nats falls off as
    1 / epoch; the other modes are a tenth of a nat worse each, and weights at their
    means have no KL."""
    epochs, known = config.training.epochs, modes(config.options)

    def terms(seed: int, split: str, when: int | str) -> dict[str, float]:
        trained = isinstance(when, int)
        worse = 30 / when - 30 / epochs if trained else 0.1 * known.index(when)
        reconstruction = levels[seed][0] + OVERFITTING[split] + worse
        weight_kl = 0.0 if config.options.weight_prior is None else 906.0
        return {
            "reconstruction": reconstruction,
            "latent_kl": levels[seed][1],
            "negative_elbo": reconstruction + levels[seed][1],
            "weight_kl": math.nan if when == "mean-weights" else weight_kl,
        }

    return terms


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
