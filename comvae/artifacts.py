"""The files of a block: its weights, its provenance, and how they are read back."""

import datetime
import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from comvae.config import RunConfig
from comvae.encoders import with_evaluated_encoder
from comvae.errors import ResultsError, SettingsError
from comvae.files import replacing, write_text
from comvae.training import Trained
from comvae.vae import VAE, build

LIBRARIES = ("comvae", "torch", "numpy", "safetensors", "scikit-learn")


def save_block(
    folder: Path, config: RunConfig, trained: Trained, device: torch.device
) -> None:
    """Write weights.safetensors, history.csv and, last, training.json."""
    with replacing(folder / "weights.safetensors") as path:
        state = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in trained.vae.state_dict().items()
        }
        save_file(state, path, metadata={"config_hash": config.config_hash})
    with replacing(folder / "history.csv") as path:
        trained.history.to_csv(path, index=False)
    record = {
        "config_hash": config.config_hash,
        "git_commit": git_commit(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "train_seconds": trained.seconds,
        "parameters": trained.vae.parameters_per_seed(),
        "failed": {str(seed): why for seed, why in trained.failed.items()},
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
    }
    write_text(folder / "training.json", json.dumps(record, indent=2))


def is_trained(folder: Path, config: RunConfig) -> bool:
    """Whether the block is trained with this config: training.json is written last."""
    try:
        record = json.loads((folder / "training.json").read_text())
        return record["config_hash"] == config.config_hash
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load_vae(
    folder: Path,
    config: RunConfig,
    pixels: int,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> VAE:
    """The trained VAE of a block, with the encoder that is evaluated; of `seeds`, or
    of all seeds of the block.

    Raises ResultsError, also for weights that were trained with another config.
    """
    path = folder / "weights.safetensors"
    wanted = config.seeds if seeds is None else list(seeds)
    index = torch.tensor([config.seeds.index(seed) for seed in wanted], device=device)
    vae = build(config.model_copy(update={"seeds": wanted}), pixels, device)
    try:
        record = json.loads((folder / "training.json").read_text())
        if record["config_hash"] != config.config_hash:
            raise ResultsError(
                f"{path}: was trained with config {record['config_hash']}, but "
                f"run.json beside it is config {config.config_hash}; train it again"
            )
        state = load_file(path, device=str(device))
        if {len(tensor) for tensor in state.values()} != {len(config.seeds)}:
            raise ValueError(f"it does not hold the {len(config.seeds)} seeds")
        vae.load_state_dict({name: state[name][index] for name in state})
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(SafetensorError, RuntimeError),
    ) as error:
        raise ResultsError(
            f"{path}: found no readable weights for this config ({error}); remove the "
            "folder and train the block again"
        ) from None
    return with_evaluated_encoder(vae)


def sound_seeds(folder: Path, config: RunConfig) -> list[int]:
    """The seeds of a block whose training did not fail; raises ResultsError."""
    path = folder / "training.json"
    try:
        failed = {int(seed) for seed in json.loads(path.read_text())["failed"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path}: found no readable record of the training ({error}); train the "
            "block first"
        ) from None
    return [seed for seed in config.seeds if seed not in failed]


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
