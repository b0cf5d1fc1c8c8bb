"""A trained block, written and read back: its weights, history and provenance."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from comvae.engine.build import build
from comvae.engine.tensors import write_tensors
from comvae.engine.training import Trained
from comvae.errors import ResultsError, SettingsError
from comvae.files import (
    AGAIN,
    check_sha256,
    remove_left_behind,
    replacing,
    sha256_of,
    write_text,
)
from comvae.model.vae import VAE
from comvae.results import paths
from comvae.results.blocks import BlockFiles, Training, trained_with
from comvae.study.run_config import RunConfig, load_run_config

LIBRARIES = ("comvae", "torch", "numpy", "safetensors", "scikit-learn")
NOT_THESE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    SafetensorError,
)


def save_block(
    folder: Path, config: RunConfig, trained: Trained, device: torch.device
) -> None:
    """Write weights.safetensors, history.csv and, last, training.json, which holds the
    SHA-256 of both.

    For one process alone: it removes what killed ones have left half written.
    """
    names = (paths.WEIGHTS, paths.HISTORY, paths.TRAINING)
    weights, history, record = (folder / name for name in names)
    for path in (weights, history, record):
        remove_left_behind(path)
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in trained.vae.state_dict().items()
    }
    written = {
        weights.name: write_tensors(weights, state, {"config_hash": config.config_hash})
    }
    with replacing(history) as path:
        trained.history.to_csv(path, index=False)
        written[history.name] = sha256_of(path)
    training = Training(
        config_hash=config.config_hash,
        git_commit=git_commit(),
        device=device_name(device),
        threads=torch.get_num_threads(),
        train_seconds=trained.seconds,
        parameters=trained.vae.parameters_per_seed(),
        failed=trained.failed,
        sha256=written,
        finished_at=datetime.now(UTC).replace(microsecond=0),
        versions={"python": platform.python_version()}
        | {name: _version(name) for name in LIBRARIES},
    )
    values = training.model_dump()
    write_text(record, json.dumps(values, indent=2, default=datetime.isoformat))


def load_vae(
    folder: Path,
    config: RunConfig,
    pixels: int,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> VAE:
    """The trained VAE of a block, of `seeds` or of all its seeds.

    Where the weights of one seed alone are there, as in a published study, `seeds` may
    be that one. Raises ResultsError, also for weights that were trained with another
    config.
    """
    wanted = config.seeds if seeds is None else list(seeds)
    path, held = folder / paths.WEIGHTS, config.seeds
    if not path.exists() and wanted == held_seeds(folder, config):
        path, held = folder / paths.weights_of(wanted[0]), wanted
    index = torch.tensor([held.index(seed) for seed in wanted], device=device)
    vae = build(config.model_copy(update={"seeds": wanted}), pixels, device)
    training = trained_with(folder, config)
    try:
        check_sha256(path, training.sha256.get(path.name))
        state = load_file(path, device=str(device))
        if {len(tensor) for tensor in state.values()} != {len(held)}:
            raise ValueError(f"it does not hold the {len(held)} seeds")
        vae.load_state_dict({name: state[name][index] for name in state})
    except NOT_THESE as error:
        raise ResultsError(
            f"{path}: holds no weights of this config ({error}); "
            f"{AGAIN}, or train the block again"
        ) from None
    return vae


def load_start(run: Path, config: RunConfig, pixels: int) -> Trained | None:
    """What training gave the model that the block in the folder `run` starts from, of
    the block's seeds and on the CPU; None where it starts from none.

    Raises ResultsError where a seed is not trained there, or damaged.
    """
    model, cpu = config.options.starts_from, torch.device("cpu")
    if model is None:
        return None
    place = run.resolve().parents[2] / model / config.parent
    missing, seconds = list(config.seeds), 0.0
    states, histories = {}, []
    failed = {}
    for record in sorted(place.glob(f"*/{paths.TRAINING}")):
        files = BlockFiles(record.parent, record.parent)
        own = [seed for seed in files.config.seeds if seed in missing]
        if not own:
            continue
        vae = load_vae(files.run, files.config, pixels, cpu, own)
        for index, seed in enumerate(own):
            states[seed] = {n: t[index] for n, t in vae.state_dict().items()}
            if seed in files.training.failed:
                failed[seed] = f"{model} failed: {files.training.failed[seed]}"
        histories.append(pd.DataFrame(files.history).query("seed in @own"))
        seconds += files.training.train_seconds * len(own) / len(files.config.seeds)
        missing = [seed for seed in missing if seed not in own]
    if missing:
        raise ResultsError(
            f"{place}: found no trained block with the seeds "
            f"{', '.join(map(str, missing))} of {config.dataset}, expected those that "
            f"{config.model} starts from; run the study, which trains them first"
        )
    vae, each = build(config, pixels), [states[seed] for seed in config.seeds]
    vae.load_state_dict({n: torch.stack([s[n] for s in each]) for n in each[0]})
    history = pd.concat(histories).sort_values(["seed", "epoch"], ignore_index=True)
    return Trained(vae, history, seconds, failed)


def held_seeds(folder: Path, config: RunConfig) -> list[int]:
    """The seeds of a block whose weights are there: all, the first one, or none."""
    if (folder / paths.WEIGHTS).is_file():
        return config.seeds
    first = config.seeds[0]
    return [first] if (folder / paths.weights_of(first)).is_file() else []


def save_first_seed(run: Path, target: Path, largest: int) -> None:
    """Write the weights of a block's first seed into the folder `target`, where a copy
    of its training.json is, which gets their SHA-256; nothing where they have more
    than `largest` bytes.

    Raises ResultsError where the block's weights are missing or damaged.
    """
    config, source = load_run_config(run / paths.CONFIG), run / paths.WEIGHTS
    training = trained_with(run, config)
    if source.stat().st_size / len(config.seeds) > largest:
        return
    try:
        check_sha256(source, training.sha256.get(source.name))
        state = load_file(source)
    except NOT_THESE as error:
        raise ResultsError(f"{source} is damaged: {error}; train it again") from None
    first = {name: tensor[:1].clone() for name, tensor in state.items()}
    path, record = target / paths.weights_of(config.seeds[0]), target / paths.TRAINING
    said = write_tensors(path, first, {"config_hash": config.config_hash})
    values = json.loads(record.read_bytes())
    values["sha256"] = training.sha256 | {path.name: said}
    write_text(record, json.dumps(values, indent=2))


def pick_device(name: str) -> torch.device:
    """`auto`: the GPU if there is one; else the device that `name` names.

    Raises SettingsError where there is no such device.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SettingsError(
            "device: found `cuda`, but PyTorch sees no GPU here; use `auto` or `cpu`"
        )
    if name == "auto":
        name = "cuda" if available else "cpu"
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def git_commit() -> str:
    """The checked-out commit of this code, `-dirty` where files were changed since;
    `unknown` outside a git checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _version(name: str) -> str:
    """`unknown` where a library is not installed: code that runs in its folder."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
