"""Blocks as HTML. Jinja escapes every text, none is markup."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboard.sections import blocks as kinds
from dashboard.site import vega
from dashboard.summary import NOTHING

NUMBER = re.compile(r"[+\N{MINUS SIGN}-]?\d[\d,.]*(\s.*)?")
NO_NUMBER = ("", NOTHING, "no result")
ENVIRONMENT = Environment(
    loader=PackageLoader("dashboard.site"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass
class Rendered:
    """A page's sections for the template, and the files that belong to it by name."""

    sections: list[dict[str, Any]]
    files: dict[str, bytes] = field(default_factory=dict)
    chart: str = ""  # the name of the last one


def render(blocks: Iterable[kinds.Block], stem: str, tables: set[str]) -> Rendered:
    """Sections and files of a page; `stem` is in the names of its files.

    `tables` are those that can be downloaded.
    """
    page = Rendered([{"id": "top", "head": None, "items": []}])
    listed = list(blocks)
    for place, block in enumerate(listed):
        if isinstance(block, kinds.Heading):
            number = len(page.sections)
            page.sections.append(
                {"id": f"section-{number}", "head": block.text, "items": []}
            )
            continue
        after = listed[place + 1] if place + 1 < len(listed) else None
        before = listed[place - 1] if place else None
        if isinstance(block, kinds.Caption) and isinstance(before, kinds.Chart):
            continue  # it is in the chart's figure
        item = _item(page, block, stem, tables)
        if isinstance(block, kinds.Chart):
            item["caption"] = after.text if isinstance(after, kinds.Caption) else ""
        page.sections[-1]["items"].append({"kind": type(block).__name__} | item)
    return page


def _item(
    page: Rendered, block: kinds.Block, stem: str, tables: set[str]
) -> dict[str, Any]:
    match block:
        case kinds.Chart():
            return _chart(page, block, stem)
        case kinds.Charts(charts):
            return {"charts": [_chart(page, c, stem) | {"caption": ""} for c in charts]}
        case kinds.Pictures(pictures):
            shown = []
            for picture in pictures:
                path = f"pictures/{stem}-{picture.name}.png"
                page.files[path] = picture.content
                shown.append({"path": path, "says": picture.says})
            return {"pictures": shown}
        case kinds.Table(rows, says):
            return {"says": says} | _table(rows)
        case kinds.TableFile(name):
            return {"path": f"tables/{name}.csv" if name in tables else None}
        case kinds.Download(file, content):
            path = f"data/{stem}-{_own_name(page, file)}"
            page.files[path] = content
            return {"path": path}
        case _:
            return {"block": block}


def _own_name(page: Rendered, file: str) -> str:
    """`differences.csv` below the chart differences-elbo is `differences-elbo.csv`."""
    stem, _, ending = file.rpartition(".")
    return f"{page.chart}.{ending}" if page.chart.startswith(stem) else file


def _chart(page: Rendered, chart: kinds.Chart, stem: str) -> dict[str, Any]:
    path = f"figures/{stem}-{chart.name}.svg"
    if path in page.files:
        raise ValueError(f"two charts of page {stem} are called {chart.name}")
    page.chart = chart.name
    light, dark = (vega.specification(chart.draw, dark=d) for d in (False, True))
    page.files[path] = vega.still(light).encode()
    return {
        "id": f"chart-{chart.name}",
        "path": path,
        "says": chart.says,
        "specification": vega.both_themes(light, dark),
    }


def _table(rows: pd.DataFrame) -> dict[str, Any]:
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


def _are_numbers(column: tuple[str, ...]) -> bool:
    found = [text for text in column if text not in NO_NUMBER]
    return bool(found) and all(NUMBER.fullmatch(text) for text in found)


def page_html(**values: Any) -> str:
    """The HTML of one page."""
    return ENVIRONMENT.get_template("page.html").render(values)
