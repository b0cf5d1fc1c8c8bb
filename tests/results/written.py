"""A synthetic tree of results in the formats of results/README.md, for tests alone.

Nothing here was trained: the numbers are simple functions of the model and seed.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from comvae.model.options import ModelOptions
from comvae.results.blocks import BlockFiles
from comvae.study.plan import Block
from comvae.study.settings import RunConfig, Training, load_models

TERMS = ["reconstruction", "latent_kl", "negative_elbo"]
GAP_SPLITS = ("train", "test")
GAP_IMAGES = range(0, 16, 2)
SPLITS = {"train": 0.0, "test": 0.7, "train-running": 0.4}
MODELS_FILE = Path(__file__).parents[2] / "config" / "models.yaml"
OPTIONS = load_models(MODELS_FILE)
MODELS = tuple(name for name, model in OPTIONS.items() if not model.control)
Cell = tuple[str, str, int]  # dataset, model, seed
Terms = Callable[[int, str, int | str], Mapping[str, float]]
"""The terms of a seed and split in a mode of evaluation, or in an epoch of training."""


def write_block(
    results: Path,
    config: RunConfig,
    terms: Terms,
    *,
    evaluated: bool = True,
    failed: Mapping[int, str] | None = None,
    images: Mapping[str, int] | None = None,
    name: str | None = None,
    **record: Any,
) -> BlockFiles:
    """Write the files of a block as `comvae configure | train | evaluate` do, but for
    weights and pictures; `record` replaces entries of training.json."""
    name = name or Block("", "", tuple(config.seeds)).name
    files = BlockFiles.at(results, f"{config.dataset}/{config.model}/{name}")
    _write(files.run / "run.json", config.to_json())
    history = [
        dict(seed=seed, epoch=epoch) | terms(seed, "train-running", epoch)
        for seed in config.seeds
        for epoch in range(1, config.training.epochs + 1)
    ]
    write_csv(files.run / "history.csv", history)
    if evaluated:
        images = images or {"train": 100, "test": 100}
        metrics = [
            dict(seed=seed, split=split, mode=mode, images=images[split])
            | terms(seed, split, mode)
            for seed in config.seeds
            if seed not in (failed or {})
            for split in sorted(images)
            for mode in modes(config.options)
        ]
        write_csv(files.evaluation / "metrics.csv", metrics)
    written = {
        "config_hash": config.config_hash,
        "git_commit": "synthetic",
        "device": "synthetic",
        "train_seconds": 12.5,
        "parameters": 12_345,
        "failed": {str(seed): why for seed, why in (failed or {}).items()},
        "versions": {"python": "synthetic"},
    }
    _write(files.run / "training.json", json.dumps(written | record, indent=2))
    return files


def modes(options: ModelOptions) -> list[str]:
    """The modes that a model is evaluated in."""
    normalised = options.batch_norm_maps or options.batch_norm_hidden
    random = options.weight_prior is not None
    return ["default"] + ["mean-weights"] * random + ["batch-statistics"] * normalised


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table as pandas writes it, which takes a millisecond a file."""
    columns = rows[0] if rows else ["seed", "split", "mode", "images", *TERMS]
    lines = [",".join(columns)]
    for row in rows:
        cells = ("" if value != value else str(value) for value in row.values())
        lines.append(",".join(cells))
    _write(path, "\n".join(lines) + "\n")


def write_results(
    root: Path,
    *,
    datasets: Sequence[str] = ("digits",),
    models: Sequence[str] = MODELS,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 5,
    failed: Iterable[Cell] = (),
    missing: Iterable[tuple[str, str]] = (),
    not_evaluated: Iterable[tuple[str, str]] = (),
    not_measured: Iterable[tuple[str, str]] = (),
    tables: bool = True,
) -> Path:
    """Write a study's results below `root` and return it.

    `failed` runs diverge in training; the blocks (dataset, model) in `missing` leave no
    file but run.json, those in `not_evaluated` are trained alone, and those in
    `not_measured` have no gaps. The paper has (synthetic) values for every dataset but
    digits.
    """
    options = load_models(MODELS_FILE)
    failed, missing, not_evaluated = set(failed), set(missing), set(not_evaluated)
    not_measured = set(not_measured)
    block = f"seeds-{min(seeds)}-{max(seeds)}"
    cells = []
    for dataset in datasets:
        listed = {split: list(GAP_IMAGES) for split in GAP_SPLITS}
        _write(root / "evaluations" / dataset / "gap-images.json", json.dumps(listed))
        for place, model in enumerate(models):
            folder = root / "runs" / dataset / model / block
            evaluation = root / "evaluations" / dataset / model / block
            config = RunConfig(
                dataset=dataset,
                model=model,
                seeds=list(seeds),
                options=options[model],
                training=Training(epochs=epochs, hidden=32),
            )
            lost = {
                s: "negative_elbo is nan"
                for s in seeds
                if (dataset, model, s) in failed
            }
            absent = ""
            evaluated = (dataset, model) not in not_evaluated
            if (dataset, model) in missing:
                _write(folder / "run.json", config.to_json())
                absent = (
                    f"not trained; its log would be logs/train/{dataset}/{model}.log"
                )
            else:
                terms = _terms(config, place, lost)
                what = {"evaluated": evaluated, "failed": lost, "name": block}
                write_block(root, config, terms, **what)
                if not evaluated:
                    absent = f"{evaluation}/metrics.csv is missing"
                for seed in set(seeds) - set(lost) if evaluated else ():
                    for kind in ("reconstructions", "samples"):
                        name = f"seed-{seed}-{kind}.png"
                        _draw(evaluation / "pictures" / name, (160, 64), seed)
                    write_pictures(evaluation, seed, place)
                if evaluated and (dataset, model) not in not_measured:
                    write_gaps(evaluation, seeds, place, lost)
            for seed in seeds:
                status = (
                    "failed" if seed in lost else "missing" if absent else "finished"
                )
                detail = lost.get(seed, absent)
                gap, why = "", ""
                if status == "finished":
                    lacks = (dataset, model) in not_measured
                    gap, why = (
                        ("missing", "not measured") if lacks else ("measured", "")
                    )
                cells.append((dataset, model, seed, status, block, detail, gap, why))
    if tables:
        write_tables(root, cells, list(models))
    return root


def value(place: int, seed: int, term: str, split: str) -> float:
    """The synthetic value of a term, in nats per image."""
    reconstruction = 20 - 0.5 * place + 0.1 * seed + SPLITS[split]
    latent_kl = 5 + 0.2 * place - 0.03 * seed
    terms = dict(reconstruction=reconstruction, latent_kl=latent_kl)
    return terms.get(term, reconstruction + latent_kl)


def gap_value(place: int, seed: int, split: str, image: int) -> dict[str, float]:
    """The synthetic values of one image, in nats; its gaps are 1.5 and 2 and more."""
    log_px = -value(place, seed, "negative_elbo", split) + 3 + 0.5 * (image % 3)
    optimal = log_px - 1.5 - 0.01 * seed
    elbo = optimal - 2 - 0.1 * image + 0.2 * place
    return {
        "elbo": elbo,
        "elbo_mean_weights": elbo + 0.1,
        "elbo_marginal": elbo + 0.3,
        "elbo_optimal": optimal,
        "log_px": log_px,
        "log_px_is": log_px,
        "log_px_ais": log_px - 0.01 if image < 4 else float("nan"),
        "ess": 800.0,
    }


def write_gaps(
    folder: Path, seeds: Iterable[int], place: int, lost: Iterable[int] = ()
) -> None:
    """Write gaps.parquet as `comvae gap` does."""
    search = dict(iterations=12, converged=True, start="encoder", start_difference=0.0)
    rows = [
        dict(seed=seed, split=split, image=image)
        | gap_value(place, seed, split, image)
        | search
        for seed in seeds
        if seed not in set(lost)
        for split in GAP_SPLITS
        for image in GAP_IMAGES
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "gaps.parquet", index=False)


def write_pictures(folder: Path, seed: int, place: int, **changes: np.ndarray) -> None:
    """Write the arrays of a run's pictures: 16 images of 4x4 pixels, 3 latents.

    Latent 2 of q(z given x) is its prior; the means of the others are those of the
    image's number and the model's place. `changes` replace arrays.
    """
    images = np.arange(16)
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    original = 10 * images[:, None, None].astype(np.uint8) + pixels
    used = np.array([1.0, 2.0, 0.0])
    arrays = {
        "image": images.astype(np.int32),
        "original": original,
        "reconstruction": 255 - original - np.uint8(seed % 50),
        "reconstruction_nats": (5.0 + place + images).astype(np.float32),
        "mean": np.outer(images / 8 - 1 + place / 10, used).astype(np.float32),
        "deviation": np.tile(1 - 0.4 * used, (16, 1)).astype(np.float32),
        "sample": original[::-1],
        "traversal": np.broadcast_to(original[:9].reshape(3, 3, 4, 4), (2, 3, 3, 4, 4)),
        "traversal_image": np.array([-1, 8], np.int32),
        "traversal_step": np.array([-3, 0, 3], np.float32),
    }
    path = folder / "pictures" / f"seed-{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays | changes)


def write_tables(root: Path, cells: list[tuple], models: list[str]) -> None:
    """Write tables/cells.csv and tables/table1.csv."""
    folder = root / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["dataset", "model", "seed", "status", "block", "detail"]
    columns += ["gap", "gap_detail"]
    table = pd.DataFrame(cells, columns=columns)
    table.to_csv(folder / "cells.csv", index=False)
    rows = []
    for (dataset, model), group in table.groupby(["dataset", "model"], sort=False):
        place = models.index(model)
        finished = group[group["status"] == "finished"]["seed"]
        for split in SPLITS:
            for term in TERMS:
                values = pd.Series(
                    [value(place, seed, term, split) for seed in finished], dtype=float
                )
                paper = None if dataset == "digits" else value(place, 4, term, split)
                rows.append((dataset, model, split, term, *_interval(values), paper))
    columns = ["dataset", "model", "split", "metric"]
    columns += ["mean", "std", "ci_low", "ci_high", "n_seeds", "paper"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "table1.csv", index=False)


def _interval(values: pd.Series) -> tuple:
    n, mean, std = len(values), values.mean(), values.std()
    if n < 2:
        return mean, None, None, None, n
    half = stats.t.ppf(0.975, n - 1) * std / n**0.5
    return mean, std, mean - half, mean + half, n


def _terms(config: RunConfig, place: int, lost: Iterable[int]) -> Terms:
    random = config.options.weight_prior is not None

    def terms(seed: int, split: str, when: int | str) -> dict[str, float]:
        values = {term: value(place, seed, term, split) for term in TERMS}
        trained = isinstance(when, int)
        if trained and seed in lost and when > 2:
            return dict.fromkeys([*TERMS, "weight_kl"], math.nan)
        later = 30 / when if trained else modes(config.options).index(when) / 10
        for term in ("reconstruction", "negative_elbo"):
            values[term] += later
        return values | {"weight_kl": (900.0 + later) * random}

    return terms


def _draw(path: Path, size: tuple[int, int], seed: int) -> None:
    """A checked pattern that nobody takes for a digit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", size)
    width, height = size
    pixels = [
        255 * ((x // 8 + y // 8 + seed) % 2)
        for y in range(height)
        for x in range(width)
    ]
    picture.putdata(pixels)
    picture.save(path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
