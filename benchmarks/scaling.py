"""How the cost of a step grows with seeds, batch size, hidden width and pixels."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import pandas as pd
import torch
from rich.table import Table

from benchmarks import images, ours
from benchmarks.cases import catalogue, is_heavy, with_training
from benchmarks.clock import alternate, median

STEPS, EPOCHS = 60, 3  # minibatches of an epoch; epochs, the first of which warms up
AXES = {
    "seeds": (1, 2, 5, 10, 20),
    "batch_size": (16, 32, 64, 128, 256),
    "hidden": (25, 50, 100, 200),
    "side": (14, 20, 28, 40),
}
SMALL_AXES = {
    "seeds": (1, 2, 3, 5, 10),
    "batch_size": (16, 32, 64),
    "hidden": (16, 32, 64),
    "side": (8, 12, 16),
}
"""Of the compound models on a CPU, where a step on 28x28 pixels takes seconds."""


@dataclass(frozen=True)
class Point:
    """One point; `axis` names what differs from the others of its curve."""

    model: str
    axis: str
    seeds: int
    batch_size: int = 32
    hidden: int = 100
    side: int = 28  # pixels; images are square


def points(device: str, models: list[str] | None = None) -> Iterator[Point]:
    """The points of every curve, for a device `cpu` or `cuda`."""
    for model in models or ["vanilla", "compound-mixture"]:
        small = device == "cpu" and is_heavy(model)
        base = Point(model, "", seeds=1 if is_heavy(model) else 5)
        if small:
            base = replace(base, seeds=3, hidden=32, side=8)
        for axis, values in (SMALL_AXES if small else AXES).items():
            for value in values:
                yield replace(base, axis=axis, **{axis: value})


def measure(
    point: Point, device: torch.device, rounds: int, steps: int = STEPS
) -> float:
    """Milliseconds per step and seed on synthetic images, the median of the rounds."""
    config = catalogue("mnist").run_config("mnist", point.model, [*range(point.seeds)])
    sizes = {"batch_size": point.batch_size, "hidden": point.hidden}
    config = with_training(config, epochs=EPOCHS, **sizes)
    data = images.synthetic(steps * point.batch_size, point.side)

    def once() -> float:
        seconds = ours.epoch_seconds(config, data, device)
        return 1e3 * seconds / steps / point.seeds

    return median(alternate({"comvae": once}, rounds), "comvae")


def measure_all(
    device: torch.device,
    models: list[str] | None,
    rounds: int,
    say: Callable[[str], None],
) -> pd.DataFrame:
    """One row per point: model, axis, seeds, batch_size, hidden, pixels, and
    ms_per_step_per_seed."""
    rows = []
    for point in points(device.type, models):
        say(f"scaling: {point.model}, {point.axis} {getattr(point, point.axis)}")
        row = asdict(point)
        row["pixels"] = row.pop("side") ** 2
        rows.append(row | {"ms_per_step_per_seed": measure(point, device, rounds)})
    frame = pd.DataFrame(rows)
    return frame.assign(axis=frame["axis"].replace("side", "pixels"))


def to_table(frame: pd.DataFrame, device: str) -> Table:
    """The points to read."""
    table = Table(title=f"Scaling on {device}: milliseconds per step and seed")
    for title in frame.columns:
        table.add_column(title.replace("ms_per_step_per_seed", "ms"), justify="right")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row))
    return table
