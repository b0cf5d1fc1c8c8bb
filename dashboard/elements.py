"""What pages are made of: elements, and the choices that a page offers.

An element says what a page holds, not how it looks. Every text is plain text, never
markup. A page is composed once and shown by two renderers, Streamlit and HTML.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

import altair as alt
import pandas as pd

from dashboard.text import NOTHING, flat, shown

PICTURE = "picture"
FOUND = "What was found of it"  # of the picture beside a statement
Draw = Callable[[bool], alt.LayerChart]  # given whether the theme is dark


class Element:
    """A piece of a page."""


@dataclass(frozen=True)
class Words(Element):
    """A text: one of the next seven."""

    text: str


class Heading(Words):
    """The head of a section."""


@dataclass(frozen=True)
class Contents(Element):
    """The ways to headings of the page."""

    headings: Sequence[str]


class Subheading(Words):
    """The head of a part of a section."""


class Text(Words):
    """A paragraph."""


class Caption(Words):
    """A paragraph below a chart or table: how to read it."""


class Code(Words):
    """What is typed or compared letter by letter."""


@dataclass(frozen=True)
class Answer(Words):
    """The answer to a question, in a few words."""

    question: str


@dataclass(frozen=True)
class Notice(Words):
    """What the reader must know first; `kind` is info, warning or error."""

    kind: str = "info"


@dataclass(frozen=True)
class Bar(Element):
    """How much is done, from 0 to 1, in words too."""

    done: float
    text: str


@dataclass(frozen=True)
class Verdicts(Element):
    """Rows of a verdict (one of comvae.results.claims), a statement, and the address of
    a picture of what was found."""

    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Link(Element):
    """A way to another page, by its path, with `choices` made there."""

    page: str
    text: str
    choices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WebLink(Element):
    """A way out of the dashboard."""

    address: str
    text: str


@dataclass(frozen=True)
class Chart(Element):
    """A chart in the light or the dark theme; `says` is its message, in one sentence.

    `name` is the chart's own on its page. `still` draws what is kept as a picture,
    where that is not the chart itself.
    """

    name: str
    draw: Draw
    says: str
    still: Draw | None = None


@dataclass(frozen=True)
class Picture(Element):
    """A PNG picture; `says` is what it shows, `width` its width in pixels."""

    name: str
    content: bytes
    says: str
    caption: str = ""
    width: int | None = None


@dataclass(frozen=True)
class Table(Element):
    """A table of text, whose columns may have two levels; `says` is what it holds.

    `marked` are the places of rows that stand out.
    """

    rows: pd.DataFrame
    says: str
    marked: Sequence[int] = field(default=(), kw_only=True)

    def as_text(self, pictures: bool = False) -> pd.DataFrame:
        """Its rows as text, with the addresses of `pictures` or without."""
        return self.rows


def pairs(values: dict[str, Any], heads: tuple[str, str], says: str) -> Table:
    """A table of settings and their values, nested ones as `outer.inner`."""
    rows = [(key, shown(value)) for key, value in flat(values)]
    return Table(pd.DataFrame(rows, columns=list(heads)), says)


@dataclass(frozen=True)
class SortableTable(Table):
    """A table of values that its reader may sort, whose first column stays in sight.

    `formats` are those of Python for columns of numbers, such as `,.2f`, and PICTURE
    for one of the addresses of pictures; `texts` has what stands in a column where that
    is more than its number, such as an interval.
    """

    formats: dict[Any, str] = field(default_factory=dict)
    texts: dict[Any, list[str]] = field(default_factory=dict)

    def as_text(self, pictures: bool = False) -> pd.DataFrame:
        """The same rows as text; for what is not there stands a dash."""

        def written(column: pd.Series) -> pd.Series:
            if column.name in self.texts:
                return pd.Series(self.texts[column.name], column.index, object)
            form, dash = self.formats.get(column.name, ""), "\N{MINUS SIGN}"
            if form == PICTURE:
                return column.fillna(NOTHING)
            sign = str.maketrans({"-": dash} if form else {})
            text = column.map(lambda x: f"{x:{form}}".translate(sign), "ignore")
            return text.astype(object).fillna(NOTHING)

        shown = [
            name for name in self.rows if pictures or self.formats.get(name) != PICTURE
        ]
        return self.rows[shown].apply(written)


@dataclass(frozen=True)
class File(Element):
    """A download of a file below the results, as it lies there; `path` is relative."""

    path: str


@dataclass(frozen=True)
class Group(Element):
    """Elements that belong together: one of the next two."""

    elements: Sequence[Element]


class Row(Group):
    """Small elements in one line, as far as there is room."""


class Private(Group):
    """Elements about the machines, for those who may use them: no site has them."""


@dataclass(frozen=True)
class Columns(Element):
    """Lists of elements beside each other, below each other on a narrow screen."""

    columns: Sequence[Sequence[Element]]
    framed: bool = False


@dataclass(frozen=True)
class Details(Element):
    """Elements that are shown when asked for."""

    title: str
    elements: Sequence[Element]


@dataclass(frozen=True)
class Updating(Element):
    """Elements that are composed again `every` so many seconds; None for never."""

    every: float | None
    compose: Callable[[], Iterable[Element]]


@dataclass(frozen=True)
class Choice:
    """What a page asks its visitor.

    `key` is its name in the address, `name` gives the text of an option. `default` is
    chosen at first, by default the first option. `written` is for readers who cannot
    choose, where that is something else.
    """

    label: str
    key: str
    options: Sequence[Any]
    name: Callable[[Any], Any] = str
    default: Sequence[Any] | None = None
    written: Sequence[Any] | None = None


class Ask:
    """Answers the choices of a page where nobody chooses, in what is written.

    A renderer with a visitor asks instead. Choices that a page asks for one after
    another stand beside each other. `dataset` is the choice of that name; `show` shows
    an element where the page is.
    """

    zone: tzinfo | None = UTC  # of the reader's clock, None for that of this machine

    def __init__(self, dataset: str, show: Callable[[Element], None]) -> None:
        self._dataset, self._show = dataset, show

    def one(self, choice: Choice) -> Any:
        """One of the options."""
        if choice.key == "dataset" and self._dataset in choice.options:
            return self._dataset
        return choice.options[0]

    def some(self, choice: Choice) -> list[Any]:
        """Some of the options, in their order of choice."""
        return list(choice.default if choice.written is None else choice.written)

    def each(self, choice: Choice, headed: bool = False) -> Iterator[Any]:
        """The one that is chosen; where nobody chooses, every one that is written.

        Each of these stands below its name then, unless the page is `headed` itself.
        """
        for option in choice.written or choice.options:
            if not headed:
                self._show(Subheading(choice.name(option)))
            yield option

    def switch(self, label: str, key: str) -> bool:
        """Whether something is on, as it is at first."""
        return True

    def rows(self, key: str, names: Sequence[str], table: SortableTable) -> list[str]:
        """Shows the table; the names of its rows that are chosen, at first none."""
        self._show(table)
        return []
