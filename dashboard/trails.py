"""The trail of a block that trains: how far it is, how fast, and its curves so far."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from dashboard import data
from dashboard.progress import Seen, seeds_text
from dashboard.study import Study, noting


@dataclass(frozen=True)
class Trail:
    """What progress.json tells; None or empty where it does not."""

    epoch: int
    epochs: int
    done: float  # from 0 to 1, over all seeds of the block
    together: tuple[int, ...]  # the seeds in memory
    seconds_left: float | None
    images_per_second: float | None
    where: str  # host, process, job


def load_trail(seen: Seen) -> Trail | None:
    """The trail of a block, or None where there is none yet, or none any longer.

    Raises ResultsError for a damaged file.
    """
    path = Path(seen.folder, "state", "progress.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        where = [f"host {values['host']}", f"process {values['pid']}"]
        if values.get("job"):
            where.append(f"job {values['job']}")
        return Trail(
            epoch=int(values["epoch"]),
            epochs=int(values["epochs"]),
            done=min(max(float(values["done"]), 0.0), 1.0),
            together=tuple(int(seed) for seed in values["seeds_in_memory"]),
            seconds_left=_positive(values.get("seconds_left")),
            images_per_second=_positive(values.get("images_per_second")),
            where=", ".join(where),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{path}: is no readable progress of a training ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); training writes it again after "
            "its next epoch"
        ) from None


def _positive(value: object) -> float | None:
    """A number that is none of inf, NaN and the negative ones; else None."""
    if type(value) in (int, float) and math.isfinite(value) and value >= 0:
        return float(value)
    return None


def load_trails(running: Sequence[Seen]) -> tuple[dict[str, Trail | None], list[str]]:
    """The trail of each running block by its folder, and what is damaged."""
    found: dict[str, Trail | None] = dict.fromkeys(seen.folder for seen in running)
    problems: list[str] = []
    for seen in running:
        with noting(problems):
            found[seen.folder] = load_trail(seen)
    return found, problems


def histories(seen: Sequence[Seen]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The epochs that each block has ended, by its folder, and what is damaged."""
    found, problems = {}, []
    for one in seen:
        path = Path(one.folder, "state", "history.csv")
        try:
            history = data.load_changing_table(path, data.HISTORY)
        except ResultsError as error:
            if path.exists():  # else it has just finished
                problems.append(str(error))
            continue
        if history is not None and len(history):
            found[str(one.block.folder)] = history
    return found, problems


def title(seen: Seen, study: Study) -> str:
    """`Vanilla VAE, seeds 0 to 4`."""
    return f"{study.title(seen.block.model)}, {seeds_text(seen.block.seeds)}"
