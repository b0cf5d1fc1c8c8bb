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
from pydantic import TypeAdapter

from comvae.model.options import ModelOptions
from comvae.results import paths
from comvae.results.blocks import BlockFiles
from comvae.results.tables import write_tables
from comvae.study.loading import Catalogue, load_models
from comvae.study.plan import Block, Plan, plan_blocks, study_folder, study_json
from comvae.study.run_config import RunConfig
from comvae.study.settings import Study, Training

MEASURED_WITH = Study(study="test", datasets=["digits"], seeds=1).measured
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
    measured: str = MEASURED_WITH,
    **record: Any,
) -> BlockFiles:
    """Write the files of a block as `comvae configure | train | evaluate` do, but for
    weights and pictures; `record` replaces entries of training.json."""
    files = BlockFiles.at(results, block_of(config).folder, measured)
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


def config_of(
    model: str,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 5,
    dataset: str = "digits",
) -> RunConfig:
    """The config of a block that `write_results` writes."""
    return RunConfig(
        dataset=dataset,
        model=model,
        seeds=list(seeds),
        options=OPTIONS[model],
        training=Training(epochs=epochs, hidden=32),
    )


def folder_of(results: Path, kind: str, model: str, block: str = "seeds-0-2") -> Path:
    """The one folder of a block of the digits, of `kind` runs or evaluations."""
    [folder] = results.glob(f"{kind}/digits/{model}/*/{block}")
    return folder


def evaluation_of(results: Path, block: Block) -> Path:
    """The folder of a block's evaluation."""
    return paths.evaluation_folder(results, block.folder, block.measured)


def block_of(config: RunConfig) -> Block:
    """The block that a config is of."""
    seeds = tuple(config.seeds)
    return Block(config.dataset, config.model, seeds, config.config_hash, MEASURED_WITH)


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


def edit_csv(path: Path, chosen: dict[str, Any], column: str, value: float) -> None:
    """Change a column in the rows of a table that have these values."""
    table = pd.read_csv(path)
    here = (table[list(chosen)] == pd.Series(chosen)).all(axis=1)
    assert here.any()
    table.loc[here, column] = value
    table.to_csv(path, index=False)


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
    """Write a study's results below `root` and return it; with its plan and tables,
    where `tables` asks for them.

    `failed` runs diverge in training; the blocks (dataset, model) in `missing` leave no
    file but run.json, those in `not_evaluated` are trained alone, and those in
    `not_measured` have no gaps.
    """
    failed, missing, not_evaluated = set(failed), set(missing), set(not_evaluated)
    not_measured = set(not_measured)
    blocks = []
    for dataset in datasets:
        listed = {split: list(GAP_IMAGES) for split in GAP_SPLITS}
        _write(paths.gap_images(root, dataset, MEASURED_WITH), json.dumps(listed))
        record = json.dumps({"title": dataset, "height": 8, "width": 8})
        _write(root / "datasets" / dataset / "dataset.json", record)
        for place, model in enumerate(models):
            config = config_of(model, seeds, epochs, dataset)
            block = block_of(config)
            blocks.append(block)
            if (dataset, model) in missing:
                path = root / "runs" / block.folder / "run.json"
                _write(path, config.to_json())
                continue
            lost = {
                s: "negative_elbo is nan"
                for s in seeds
                if (dataset, model, s) in failed
            }
            evaluated = (dataset, model) not in not_evaluated
            what = {"evaluated": evaluated, "failed": lost}
            files = write_block(root, config, _terms(config, place, lost), **what)
            for seed in set(seeds) - set(lost) if evaluated else ():
                for kind in ("reconstructions", "samples"):
                    name = f"seed-{seed}-{kind}.png"
                    _draw(files.evaluation / "pictures" / name, (160, 64), seed)
                write_pictures(files.evaluation, seed, place)
            if evaluated and (dataset, model) not in not_measured:
                write_gaps(files.evaluation, seeds, place, lost)
    titles = {model: OPTIONS[model].title for model in models}
    readings = {m: row for m in models if (row := OPTIONS[m].reading_of)}
    plan = Plan("test", list(datasets), titles, blocks, None, len(GAP_IMAGES), readings)
    if tables:
        _write(
            plan.folder(root) / "study.json", TypeAdapter(Plan).dump_json(plan).decode()
        )
        write_tables(root, plan)
    return root


def write_large_results(
    results: Path,
    *,
    models: Sequence[str] = MODELS,
    seeds: int = 1250,
    seeds_per_block: int = 20,
    gap_images: int = 0,
    tables: bool = True,
) -> Plan:
    """Write a finished study of the digits of 3 epochs, without pictures, and return
    its plan. 10,000 runs take 10 s without gaps and tables, whatever their blocks."""
    settings = {"datasets": ["digits"], "models": list(models), "seeds": seeds}
    training = {"epochs": 3, "hidden": 32, "seeds_per_block": seeds_per_block}
    settings |= {"training": training, "gap": {"images": gap_images}}
    catalogue = Catalogue(
        study=Study(study="large", **settings), models={m: OPTIONS[m] for m in models}
    )
    blocks = plan_blocks(catalogue, results)
    _write(study_folder(results, "large") / "study.json", study_json(catalogue, blocks))
    for block in blocks:
        config = catalogue.run_config(block.dataset, block.model, list(block.seeds))
        place = list(models).index(block.model)
        seconds = 12.5 * len(block.seeds)
        terms = _terms(config, place, ())
        how = {"measured": block.measured, "train_seconds": seconds}
        files = write_block(results, config, terms, **how)
        if gap_images:
            write_gaps(files.evaluation, block.seeds, place, (), range(gap_images))
    plan = Plan.read(results)
    if tables:
        write_tables(results, plan)
    return plan


def value(place: int, seed: int, term: str, split: str) -> float:
    """The synthetic value of a term, in nats per image."""
    reconstruction = 20 - 0.5 * place + 0.1 * seed + SPLITS[split]
    latent_kl = 5 + 0.2 * place - 0.03 * seed
    terms = dict(reconstruction=reconstruction, latent_kl=latent_kl)
    return terms.get(term, reconstruction + latent_kl)


def gap_value(place: int, seed: int, split: str, image: int) -> dict[str, float]:
    """The synthetic values of one image, in nats; its gaps are 1.5 and 2 and more.
    The weights of the first model are not random."""
    log_px = -value(place, seed, "negative_elbo", split) + 3 + 0.5 * (image % 3)
    optimal = log_px - 1.5 - 0.01 * seed
    elbo = optimal - 2 - 0.1 * image + 0.2 * place
    return {
        "elbo": elbo,
        "elbo_mean_weights": elbo + 0.1 * place,
        "elbo_marginal": elbo + 0.3,
        "elbo_optimal": optimal,
        "log_px": log_px,
        "log_px_is": log_px,
        "log_px_ais": log_px - 0.01 if image < 4 else float("nan"),
        "ess": 800.0,
    }


def write_gaps(
    folder: Path,
    seeds: Iterable[int],
    place: int,
    lost: Iterable[int] = (),
    images: Iterable[int] = GAP_IMAGES,
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
        for image in images
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
