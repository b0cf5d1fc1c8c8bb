"""The trail of a block that trains: how far it is, how fast, and its curves so far."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.results import reading as data
from comvae.results.formats import HISTORY
from comvae.results.trail import Progress, load_progress
from dashboard.progress import Seen, seeds_text
from dashboard.study import Study, noting


def load_trails(
    running: Sequence[Seen],
) -> tuple[dict[str, Progress | None], list[str]]:
    """The trail of each running block by its folder, and what is damaged."""
    found: dict[str, Progress | None] = dict.fromkeys(seen.folder for seen in running)
    problems: list[str] = []
    for seen in running:
        with noting(problems):
            found[seen.folder] = load_progress(Path(seen.folder))
    return found, problems


def histories(seen: Sequence[Seen]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The epochs that each block has ended, by its folder, and what is damaged."""
    found, problems = {}, []
    for one in seen:
        path = Path(one.folder, "state", "history.csv")
        try:
            history = data.load_table.anew(path, HISTORY)
        except ResultsError as error:
            if path.exists():  # else it has just finished
                problems.append(str(error))
            continue
        if len(history):
            found[str(one.block.folder)] = history
    return found, problems


def title(seen: Seen, study: Study) -> str:
    """`Vanilla VAE, seeds 0 to 4`."""
    return f"{study.title(seen.block.model)}, {seeds_text(seen.block.seeds)}"
