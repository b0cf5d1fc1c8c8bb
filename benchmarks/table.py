"""The measured rows as a table, a CSV file and a record of the circumstances."""

import dataclasses
import datetime
import json
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.cases import ROOT
from benchmarks.clock import median, median_ratio
from benchmarks.measure import OURS, PLAIN, PYTHAE, Measured

FOLDER = ROOT / "results" / "benchmarks"
LIBRARIES = ("comvae", "torch", "numpy", "pythae")


def to_frame(measured: Sequence[Measured], device: str) -> pd.DataFrame:
    """One row per measured row; docs/performance.md explains the columns.

    Images per second are those of all seeds together. `ratio_pythae` is empty where
    pythae has no such model: everywhere but for vanilla.
    """
    rows = [
        {
            "model": row.case.model,
            "device": device,
            "dataset": row.dataset,
            "seeds": row.case.seeds,
            "batch_size": row.batch_size,
            "ms_per_step_per_seed": row.milliseconds,
            "images_per_second": 1e3 * row.images / row.steps / row.milliseconds,
            "ratio_pythae": median_ratio(row.rounds, PYTHAE, OURS),
            "ratio_plain": median_ratio(row.rounds, PLAIN, OURS),
            "ratio_floor": row.milliseconds / row.floor,
        }
        for row in measured
    ]
    return pd.DataFrame(rows)


def to_text(measured: Sequence[Measured], frame: pd.DataFrame) -> str:
    """The frame of `to_frame` to read, with the times of the peers and of the floor."""
    shown = frame.drop(columns=["device", "batch_size"])
    shown = shown.rename(columns={"ms_per_step_per_seed": "ms"})
    for peer in (PYTHAE, PLAIN):
        shown[f"{peer}_ms"] = [median(row.rounds, peer) for row in measured]
    shown["floor_ms"] = [row.floor for row in measured]
    text = shown.to_string(index=False, na_rep="", float_format="{:,.3g}".format)
    return f"On {frame['device'].iat[0]}, milliseconds per step and seed:\n{text}"


def record(measured: Sequence[Measured], device: torch.device) -> dict[str, Any]:
    """What the rows were measured with and on, and every round of them."""
    return {
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "gpu": device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "flush_denormal": True,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES if find_spec(name)},
        "rows": [dataclasses.asdict(row) for row in measured],
    }


def write(name: str, frame: pd.DataFrame, about: dict[str, Any]) -> Path:
    """Write <name>.csv and <name>.about.json; returns the CSV's path.

    The rows of this device replace those that were there; other devices' rows stay.
    """
    path, about_path = FOLDER / f"{name}.csv", FOLDER / f"{name}.about.json"
    device = frame["device"].iat[0]
    abouts = {device: about}
    if path.exists() and about_path.exists():
        kept = pd.read_csv(path).query("device != @device")
        frame = pd.concat([kept, frame]) if len(kept) else frame
        abouts = json.loads(about_path.read_text()) | abouts
    FOLDER.mkdir(parents=True, exist_ok=True)
    about_path.write_text(json.dumps(abouts, indent=2) + "\n")
    return write_csv(name, frame)


def write_csv(name: str, frame: pd.DataFrame) -> Path:
    """Write <name>.csv, with six digits of each number; returns its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.csv"
    frame.to_csv(path, index=False, float_format="%.6g")
    return path


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def host() -> str:
    """This machine's name, as a file name."""
    return re.sub(r"[^\w.-]+", "-", platform.node()) or "host"


def _commit() -> str:
    """The commit of this code, `-dirty` where files were changed since."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    described = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True)
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
