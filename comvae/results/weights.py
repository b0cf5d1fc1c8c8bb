"""The files of a block: its weights, its provenance, and how they are read back."""

import datetime
import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
from comvae.study.settings import RunConfig

LIBRARIES = ("comvae", "torch", "numpy", "safetensors", "scikit-learn")
TRAIN_AGAIN = f"{AGAIN}, or train the block again"


def save_block(
    folder: Path, config: RunConfig, trained: Trained, device: torch.device
) -> None:
    """Write weights.safetensors, history.csv and, last, training.json, which holds the
    SHA-256 of both.

    For one process alone: it removes what killed ones have left half written.
    """
    weights, history = folder / "weights.safetensors", folder / "history.csv"
    for path in (weights, history, folder / "training.json"):
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
    record = {
        "config_hash": config.config_hash,
        "git_commit": git_commit(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "train_seconds": trained.seconds,
        "parameters": trained.vae.parameters_per_seed(),
        "failed": {str(seed): why for seed, why in trained.failed.items()},
        "sha256": written,
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
    }
    write_text(folder / "training.json", json.dumps(record, indent=2))


def is_trained(folder: Path, config: RunConfig) -> bool:
    """Whether the block is trained with this config, and its files are as written."""
    try:
        record = _read_record(folder)
        for name, expected in record["sha256"].items():
            check_sha256(folder / name, expected)
    except (OSError, ResultsError):
        return False
    return record["config_hash"] == config.config_hash


def load_vae(
    folder: Path,
    config: RunConfig,
    pixels: int,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> VAE:
    """The trained VAE of a block, of `seeds` or of all its seeds.

    Raises ResultsError, also for weights that were trained with another config.
    """
    path = folder / "weights.safetensors"
    wanted = config.seeds if seeds is None else list(seeds)
    index = torch.tensor([config.seeds.index(seed) for seed in wanted], device=device)
    vae = build(config.model_copy(update={"seeds": wanted}), pixels, device)
    record = _read_record(folder)
    if record["config_hash"] != config.config_hash:
        raise ResultsError(
            f"{path}: was trained with config {record['config_hash']}, but "
            f"run.json beside it is config {config.config_hash}; train it again"
        )
    try:
        check_sha256(path, record["sha256"].get(path.name))
        state = load_file(path, device=str(device))
        if {len(tensor) for tensor in state.values()} != {len(config.seeds)}:
            raise ValueError(f"it does not hold the {len(config.seeds)} seeds")
        vae.load_state_dict({name: state[name][index] for name in state})
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(SafetensorError, RuntimeError),
    ) as error:
        raise ResultsError(
            f"{path}: found no readable weights for this config ({error}); "
            f"{TRAIN_AGAIN}"
        ) from None
    return vae


def sound_seeds(folder: Path, config: RunConfig) -> list[int]:
    """The seeds of a block whose training did not fail; raises ResultsError."""
    failed = _read_record(folder)["failed"]
    return [seed for seed in config.seeds if str(seed) not in failed]


def _read_record(folder: Path) -> dict[str, Any]:
    """The content of training.json; raises ResultsError."""
    path = folder / "training.json"
    try:
        record = json.loads(path.read_text())
        if not isinstance(record["config_hash"], str):
            raise ValueError("config_hash is no text")
        written = record.get("sha256", {})  # a block of before has none
        if not isinstance(written, dict):
            raise ValueError("sha256 is no mapping")
        failed = {str(int(seed)): why for seed, why in record["failed"].items()}
    except FileNotFoundError:
        raise ResultsError(
            f"{path} is missing: no weights.safetensors beside it counts; "
            "train the block first: run the study"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path}: found no readable record of the training ({error!r}); "
            f"{TRAIN_AGAIN}"
        ) from None
    return record | {"failed": failed, "sha256": written}


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
