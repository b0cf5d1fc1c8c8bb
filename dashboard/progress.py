"""How far every block of the study is, kept for a while and in words."""

import time
from collections.abc import Iterable
from pathlib import Path

from comvae.results.reading import noting
from comvae.results.standing import WORDS, Seen, Standing, look, reasons
from comvae.results.trail import Progress as Trail
from comvae.results.trail import load_progress as load_trail
from comvae.study.plan import name_of

SHARE = 0.05  # of the time that looking may take; more blocks are looked at less often


_last: dict[
    tuple[Path, str], tuple[float, float, Standing]
] = {}  # when, how long, what


def load_progress(results: Path, study: str) -> Standing:
    """How far it is; looked at again once that takes SHARE of the time."""
    began = time.monotonic()
    if (results, study) in _last:
        when, took, found = _last[results, study]
        if began - when < took / SHARE:
            return found
    found = look(results, study)
    _last[results, study] = began, time.monotonic() - began, found
    return found


def forget() -> None:
    """Look again, whenever that was last."""
    _last.clear()


def outcome(seen: Seen) -> str:
    """What became of the seeds of a trained block, and why where they failed."""
    words = list(seen.cells.values())
    parts = [
        f"{words.count(word)} {text}" for word, text in WORDS.items() if word in words
    ]
    if seen.measured:
        parts.append(f"gaps measured in {seen.measured}")
    why = [f"seed {seed}: {reason}" for seed, reason in reasons(seen).items()]
    return "; ".join([", ".join(parts), *why])


def in_words(counts: dict[str, int]) -> str:
    """`12 of 24 runs finished, 3 running, 9 waiting`."""
    text = f"{counts.get('finished', 0)} of {sum(counts.values())} runs finished"
    rest = [f"{n} {WORDS[word]}" for word, n in counts.items() if word != "finished"]
    return ", ".join([text, *rest])


def load_trails(
    running: Iterable[Seen],
) -> tuple[dict[str, Trail | None], list[str]]:
    """The trail of each running block by its folder, and what is damaged."""
    found: dict[str, Trail | None] = dict.fromkeys(seen.folder for seen in running)
    problems: list[str] = []
    for folder in found:
        with noting(problems):
            found[folder] = load_trail(Path(folder))
    return found, problems


def seeds_text(seeds: Iterable[int]) -> str:
    """`seed 3`, `seeds 0 to 4`, `seeds 0, 3`."""
    name = name_of(tuple(seeds)).removeprefix("seeds-")
    if name.isdigit():
        return f"seed {name}"
    return "seeds " + name.replace("-", " to ").replace(",", ", ")
