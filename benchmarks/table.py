"""The measured rows as a table, a CSV file and a record of the circumstances."""

import dataclasses
import datetime
import json
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.table import Table

from benchmarks.cases import ROOT
from benchmarks.clock import median, median_ratio
from benchmarks.loop import COMPILED
from benchmarks.measure import OURS, PYTHAE, Measured

COLUMNS = (
    *("model", "device", "dataset", "seeds", "batch_size"),
    *("ms_per_step_per_seed", "images_per_second"),
    *("ratio_pythae", "ratio_plain", "ratio_floor"),
)
LIBRARIES = ("comvae", "torch", "numpy", "pythae")


def to_frame(measured: Sequence[Measured], device: str) -> pd.DataFrame:
    """One row per measured row, columns COLUMNS.

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
            "ratio_pythae": _faster_than(row, PYTHAE),
            "ratio_plain": _faster_than(row, row.plain),
            "ratio_floor": row.milliseconds / row.floor.milliseconds,
        }
        for row in measured
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def to_table(measured: Sequence[Measured], device: str) -> Table:
    """The rows to read, with the peers' own times beside ours."""
    table = Table(
        title=f"Training on {device}: milliseconds per step and seed",
        caption="x pythae, x plain: times faster than that peer, which trains one seed "
        "(the fastest variant of the plain loop). x floor: time over the least the "
        "hardware needs. Images/s: of all seeds together.",
    )
    for title in ("model", "dataset"):
        table.add_column(title, overflow="fold")
    numbers = ("seeds", "ms", "images/s", "x pythae", "x plain", "x floor")
    for title in (*numbers, "pythae ms", "plain ms", "compiled ms", "floor ms"):
        if title != "compiled ms" or any(COMPILED in row.aside for row in measured):
            table.add_column(title, justify="right")
    shown = to_frame(measured, device).to_dict("records")
    for row, values in zip(measured, shown, strict=True):
        cells = [
            *(row.case.model, row.dataset, str(row.case.seeds)),
            f"{row.milliseconds:.3g}",
            f"{values['images_per_second']:,.0f}",
            *(_number(values[f"ratio_{peer}"]) for peer in ("pythae", "plain")),
            _number(values["ratio_floor"]),
            _number(_time(row, PYTHAE)),
            f"{median(row.rounds, row.plain):.3g} ({row.plain})",
        ]
        if COMPILED in row.aside:
            cells.append(f"{row.aside[COMPILED]:.3g}")
        table.add_row(*cells, f"{row.floor.milliseconds:.3g}")
    return table


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
        | {name: _version(name) for name in LIBRARIES},
        "rows": [dataclasses.asdict(row) for row in measured],
    }


def write(folder: Path, name: str, frame: pd.DataFrame, about: dict[str, Any]) -> Path:
    """Write <name>.csv and <name>.about.json; returns the CSV's path.

    The rows of this device replace those that were there; other devices' rows stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, about_path = folder / f"{name}.csv", folder / f"{name}.about.json"
    device = frame["device"].iat[0]
    abouts = {device: about}
    if path.exists() and about_path.exists():
        kept = pd.read_csv(path).query("device != @device")
        frame = pd.concat([kept, frame]) if len(kept) else frame
        abouts = json.loads(about_path.read_text()) | abouts
    frame.to_csv(path, index=False, float_format="%.6g")
    about_path.write_text(json.dumps(abouts, indent=2) + "\n")
    return path


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def host() -> str:
    """This machine's name, as a file name."""
    return re.sub(r"[^\w.-]+", "-", platform.node()) or "host"


def _faster_than(row: Measured, peer: str) -> float:
    """Empty (NaN) where the peer did not take part."""
    if peer not in row.rounds[0]:
        return float("nan")
    return median_ratio(row.rounds, peer, OURS)


def _time(row: Measured, peer: str) -> float:
    return median(row.rounds, peer) if peer in row.rounds[0] else float("nan")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3g}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit of this code, `-dirty` where files were changed since."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
