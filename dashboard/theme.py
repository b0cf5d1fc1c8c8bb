"""One colour and one shape per model, the same in every chart of the dashboard.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart. Black
and yellow follow the theme, since neither is visible on both backgrounds. Nothing is
told by colour alone: every model has its own shape and its name beside its mark.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

BOTH = ["#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"]
LIGHT = ["#000000", *BOTH, "#5A4E00"]
DARK = ["#F2F2F2", *BOTH, "#F0E442"]
STAR = (
    "M0,-1L0.235,-0.324L0.951,-0.309L0.38,0.124L0.588,0.809"
    "L0,0.4L-0.588,0.809L-0.38,0.124L-0.951,-0.309L-0.235,-0.324Z"
)
HOURGLASS = "M-0.85,-0.85L0.85,-0.85L-0.85,0.85L0.85,0.85Z"
SHAPES = ["circle", "square", "triangle-up", "cross", "triangle-down", STAR, HOURGLASS]
PAPER_SHAPE = "diamond"  # kept for the paper's values, whichever the model
DOTTED = (8, 2, 2, 2), (8, 2, 2, 2, 2, 2)
DASHES = ((1, 0), (6, 3), (2, 2), (10, 4), (1, 4), *DOTTED)  # of lines of one colour
MARKED = {"background-color": "rgba(230, 159, 0, 0.18)"}  # of rows that stand out
MODELS_FILE = Path(__file__).parents[1] / "config" / "models.yaml"


@dataclass(frozen=True)
class Mark:
    """How one model is drawn."""

    colour: str
    shape: str
    dash: tuple[int, ...] = DASHES[0]


class Ink:
    """The colours of everything in a chart that is not a model."""

    def __init__(self, dark: bool) -> None:
        self.text = "#E6E8EB" if dark else "#1B1F24"
        self.muted = "#A5ADB8" if dark else "#5B6470"
        self.grid = "#2B323B" if dark else "#E4E7EB"
        # of two areas that touch
        self.strong = "#65707D" if dark else "#9BA5B1"
        self.faint = "#2F3742" if dark else "#E3E7EB"
        self.paper = "#12151A" if dark else "#FFFFFF"  # of the page behind
        # of filled marks; on white, orange and sky blue need it to be seen
        self.outline = self.paper if dark else self.text


def marks(models: Sequence[str], dark: bool) -> dict[str, Mark]:
    """The mark of each of `models`, by its place in models.yaml.

    So a model looks the same in every study. Models that stand there no longer follow
    by their names. Eight colours, seven shapes and seven dashes repeat with
    different periods, so that no two of 56 models look the same.
    """
    colours = DARK if dark else LIGHT
    known = models_in_file(MODELS_FILE)
    order = [*known, *sorted(set(models) - set(known))]
    return {
        model: Mark(
            colours[i % len(colours)],
            SHAPES[i % len(SHAPES)],
            DASHES[(i + i // len(colours)) % len(DASHES)],
        )
        for i, model in enumerate(order)
        if model in set(models)
    }


@cache
def models_in_file(path: Path) -> tuple[str, ...]:
    """The names of the models in models.yaml, in its order; none if unreadable."""
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(str(name) for name in names or ())
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return ()


def line_marks(models: dict[str, str], dark: bool) -> dict[str, Mark]:
    """The mark of each line by the model of each; dashes tell those of one apart."""
    of_model = marks(list(models.values()), dark)
    found, before = {}, Counter()
    for line, model in models.items():
        turn = DASHES.index(of_model[model].dash) + before[model]
        found[line] = replace(of_model[model], dash=DASHES[turn % len(DASHES)])
        before[model] += 1
    return found


HOLDS, FAILS = Mark("#009E73", "circle"), Mark("#D55E00", "cross")
VERDICT_MARKS = {
    "supported": HOLDS,
    "holds here": HOLDS,
    "contradicted": FAILS,
    "does not hold here": FAILS,
    "inconclusive": Mark("#8A929C", "square"),
    "not run": Mark("#8A929C", "square"),
}
"""Of the claims, which are of several models: told by shape and side, not by colour."""
