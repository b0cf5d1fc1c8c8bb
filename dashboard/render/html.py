"""Pages as HTML. Jinja escapes every text, none is markup."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from comvae.results import reading as data
from dashboard import elements as el
from dashboard.render import vega
from dashboard.study import Study
from dashboard.text import NOTHING

NUMBER = re.compile(r"[+\N{MINUS SIGN}-]?\d[\d,.]*(\s.*)?")
NO_NUMBER = ("", NOTHING, "no result")
TABLES = "tables"  # the folder of results whose files a site has
ENVIRONMENT = Environment(
    loader=PackageLoader("dashboard.render"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
Item = dict[str, Any]


class Written:
    """A page's sections for the template, and the files that belong to it by name.

    `study` has the tables to copy; `stem` is in the names of the page's files;
    `paths` are those of the other pages by theirs in the dashboard.
    """

    def __init__(self, study: Study, stem: str, paths: dict[str, str]) -> None:
        self._study, self._stem, self._paths = study, stem, paths
        self.sections: list[Item] = [{"id": "top", "head": None, "items": []}]
        self.files: dict[str, bytes] = {}

    def add(self, element: el.Element) -> None:
        """Write an element below the others; a heading begins a section."""
        if isinstance(element, el.Heading):
            name = f"section-{len(self.sections)}"
            section = {"id": name, "head": element.text, "items": []}
            self.sections.append(section)
        else:
            self._into(self.sections[-1]["items"], element)

    def _into(self, items: list[Item], element: el.Element) -> None:
        last = items[-1] if items else {}
        match element:
            case el.Private():
                return
            case el.Caption(text) if last.get("caption") == "":
                last["caption"] = text  # it stands in the figure
                return
            case el.Link(page) if page not in self._paths:
                return
            case el.File(path) if not self._copied(path):
                return
            case el.Updating(_, compose):
                for part in compose():
                    self.add(part)
                return
        items.append({"kind": type(element).__name__} | self._item(element))

    def _items(self, parts: Iterable[el.Element]) -> list[Item]:
        items: list[Item] = []
        for part in parts:
            self._into(items, part)
        return items

    def _item(self, element: el.Element) -> Item:
        match element:
            case el.Chart():
                return self._chart(element)
            case el.Picture(name, content):
                path = self._file(f"pictures/{self._stem}-{name}.png", content)
                return {"path": path, "element": element}
            case el.Table(rows, says):
                return {"says": says} | _table(rows)
            case el.SortableTable():
                return {"says": element.says} | _table(element.as_text())
            case el.File(path):
                return {"path": path}
            case el.Download(file, content):
                return {"path": self._file(f"data/{self._stem}-{file}", content)}
            case el.Columns(columns):
                return {"columns": [self._items(parts) for parts in columns]}
            case el.Row(parts):
                return {"items": self._items(parts)}
            case el.Details(title, parts):
                return {"title": title, "items": self._items(parts)}
            case _:
                return {"element": element}

    def _chart(self, chart: el.Chart) -> Item:
        path = f"figures/{self._stem}-{chart.name}.svg"
        if path in self.files:
            raise ValueError(f"two charts of page {self._stem} are called {chart.name}")
        return {
            "id": f"chart-{chart.name}",
            "path": self._file(path, vega.picture(chart).encode()),
            "says": chart.says,
            "caption": "",
            "specification": vega.both_themes(chart),
        }

    def _file(self, path: str, content: bytes) -> str:
        """Where a file is written: a second one of the same name gets a number."""
        stem, dot, ending = path.rpartition(".")
        number = 1
        while path in self.files:
            number += 1
            path = f"{stem}-{number}{dot}{ending}"
        self.files[path] = content
        return path

    def _copied(self, path: str) -> bool:
        """Whether the site has a copy of a file of the results: a whole table."""
        content, name = None, Path(path)
        if name.parts[0] == TABLES and name.stem not in self._study.damaged:
            content = data.load_bytes(self._study.results / path)
        if content is not None:
            self.files[path] = content
        return content is not None

    def page(self, **values: Any) -> str:
        """The HTML of the whole page."""
        template = ENVIRONMENT.get_template("page.html")
        return template.render(sections=self.sections, paths=self._paths, **values)


def _table(rows: pd.DataFrame) -> Item:
    """Heads and cells; columns of two levels get a row of groups above."""
    groups: list[tuple[str, int]] = []
    if rows.columns.nlevels == 2:
        for group in rows.columns.get_level_values(0):
            if groups and groups[-1][0] == group:
                groups[-1] = (group, groups[-1][1] + 1)
            else:
                groups.append((group, 1))
    heads = [str(head) for head in rows.columns.get_level_values(-1)]
    cells = [[str(text) for text in row] for row in rows.itertuples(index=False)]
    numbers = [_are_numbers(column) for column in zip(*cells, strict=True)]
    return {"groups": groups, "heads": heads, "numbers": numbers, "rows": cells}


def _are_numbers(column: Sequence[str]) -> bool:
    found = [text for text in column if text not in NO_NUMBER]
    return bool(found) and all(NUMBER.fullmatch(text) for text in found)
