"""Pages as HTML. Jinja escapes every text, none is markup."""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from comvae.results import reading as data
from dashboard import elements as el
from dashboard.render import vega
from dashboard.render.saved import of_table, slug
from dashboard.study import Study
from dashboard.text import NOTHING

NUMBER = re.compile(r"[<+\N{MINUS SIGN}-]?\d[\d,.]*(\s.*)?")
NO_NUMBER = ("", NOTHING)
TABLES = "tables"  # the folder of a study whose files a site has
ENVIRONMENT = Environment(
    loader=PackageLoader("dashboard.render"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Written:
    """A page for its template, which asks for the files that belong to the page.

    `stem` is in the names of these files. A heading begins a section.
    """

    def __init__(self, study: Study, stem: str) -> None:
        self._study, self._stem = study, stem
        self._sections: list[tuple[str, list[el.Element]]] = [("", [])]
        self.files: dict[str, bytes] = {}

    def add(self, element: el.Element) -> None:
        """Write an element below the others."""
        if isinstance(element, el.Heading):
            self._sections.append((element.text, []))
        else:
            self._sections[-1][1].append(element)

    def page(self, **values: Any) -> str:
        """The HTML of the whole page; `files` are complete then."""
        template = ENVIRONMENT.get_template("page.html")
        return template.render(
            written=self,
            sections=self._sections,
            kind_of=lambda element: type(element).__name__,
            vega=vega,
            slug=slug,
            found=el.FOUND,
            **values,
        )

    def file(self, folder: str, name: str, content: bytes) -> str:
        """Where a file is written: a second one of the same name gets a number."""
        stem, _, ending = name.rpartition(".")
        path, number = f"{folder}/{self._stem}-{name}", 1
        while path in self.files:
            number += 1
            path = f"{folder}/{self._stem}-{stem}-{number}.{ending}"
        self.files[path] = content
        return path

    def copied(self, file: el.File) -> bool:
        """Whether the site has a copy of a file of the results: a whole table."""
        content, name = None, Path(file.path)
        if name.parts[0] == TABLES and name.stem not in self._study.damaged:
            content = data.load_bytes(self._study.folder / name)
        if content is not None:
            self.files[file.path] = content
        return content is not None

    def saved(self, table: el.Table) -> dict[str, str]:
        """Where the table lies as a file, by the end of the name."""
        return {
            end: self.file("data", f"{slug(table.says)}.{end}", content())
            for end, content in of_table(table).items()
        }

    def table(self, table: el.Table) -> dict[str, Any]:
        """Heads and cells; columns of two levels get a row of groups above."""
        rows = table.as_text(pictures=True)
        groups: list[tuple[str, int]] = []
        if rows.columns.nlevels == 2:
            above = groupby(rows.columns.get_level_values(0))
            groups = [(name, len(list(same))) for name, same in above]
        return {
            "groups": groups,
            "heads": rows.columns.get_level_values(-1),
            "rows": rows.to_numpy(),
            "numbers": [_are_numbers(column) for _, column in rows.items()],
        }


def _are_numbers(column: Iterable[str]) -> bool:
    found = [text for text in column if text not in NO_NUMBER]
    return bool(found) and all(NUMBER.fullmatch(text) for text in found)
