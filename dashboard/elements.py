"""The blocks of a page: what it holds, not how it looks. Every text is plain text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.findings import Finding


@dataclass(frozen=True)
class Link:
    """A way to another page (the name of its view), with the same choices there."""

    page: str
    text: str
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Card:
    """A question with its answer, and where more is told."""

    finding: Finding
    more: Link


@dataclass(frozen=True)
class Cards:
    """Findings beside each other."""

    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Heading:
    """The head of a section."""

    text: str


@dataclass(frozen=True)
class Subheading:
    """The head of a part of a section."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Caption:
    """A paragraph below a chart or table: how to read it."""

    text: str


@dataclass(frozen=True)
class Notice:
    """What the reader must know first; a warning where something is amiss."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Verdicts:
    """Statements, each with its verdict (a key of comvae.results.claims)."""

    statements: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Chart:
    """A chart in the light or the dark theme; `says` is its message, in one sentence.

    `name` is the chart's own on its page.
    """

    name: str
    draw: Callable[[bool], alt.LayerChart]
    says: str


@dataclass(frozen=True)
class Charts:
    """Charts beside each other, each below its message."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class Picture:
    """A PNG picture; `says` is what it shows."""

    name: str
    content: bytes
    says: str


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Table:
    """A table of text, whose columns may have two levels; `says` is what it holds."""

    rows: pd.DataFrame
    says: str


@dataclass(frozen=True)
class TableFile:
    """A download of `tables/<name>.csv`, as it is."""

    name: str


@dataclass(frozen=True)
class Download:
    """A download of what a page has computed."""

    file: str
    content: bytes


Block = (
    Link
    | Cards
    | Heading
    | Subheading
    | Text
    | Caption
    | Notice
    | Terms
    | Verdicts
    | Chart
    | Charts
    | Pictures
    | Table
    | TableFile
    | Download
)
