"""One colour and one shape per model, the same in every chart of the dashboard.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart. Black
and yellow follow the theme, since neither is visible on both backgrounds. Nothing is
told by colour alone: every model has its own shape and its name beside its mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LIGHT = (
    *("#000000", "#D55E00", "#0072B2", "#E69F00"),
    *("#009E73", "#CC79A7", "#56B4E9", "#5A4E00"),
)
DARK = (
    *("#F2F2F2", "#D55E00", "#0072B2", "#E69F00"),
    *("#009E73", "#CC79A7", "#56B4E9", "#F0E442"),
)
STAR = (
    "M0,-1L0.235,-0.324L0.951,-0.309L0.38,0.124L0.588,0.809"
    "L0,0.4L-0.588,0.809L-0.38,0.124L-0.951,-0.309L-0.235,-0.324Z"
)
HOURGLASS = "M-0.85,-0.85L0.85,-0.85L-0.85,0.85L0.85,0.85Z"
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "cross",
    "triangle-down",
    STAR,
    HOURGLASS,
)
PAPER_SHAPE = "diamond"  # kept for the paper's values, whichever the model


@dataclass(frozen=True)
class Mark:
    """How one model is drawn."""

    colour: str
    shape: str


@dataclass(frozen=True)
class Ink:
    """The colours of everything in a chart that is not a model."""

    text: str
    muted: str
    grid: str
    outline: str  # of filled marks; on white, orange and sky blue need it to be seen


LIGHT_INK = Ink(text="#1B1F24", muted="#5B6470", grid="#E4E7EB", outline="#1B1F24")
DARK_INK = Ink(text="#E6E8EB", muted="#A5ADB8", grid="#2B323B", outline="#12151A")


def ink(dark: bool) -> Ink:
    """The colours of text and lines on the light or the dark background."""
    return DARK_INK if dark else LIGHT_INK


def marks(models: Sequence[str], dark: bool) -> dict[str, Mark]:
    """The mark of each model, by its place in `models`, the whole study's order.

    Eight colours and seven shapes repeat with different periods, so that no two of
    56 models look the same.
    """
    colours = DARK if dark else LIGHT
    return {
        model: Mark(colours[i % len(colours)], SHAPES[i % len(SHAPES)])
        for i, model in enumerate(models)
    }
