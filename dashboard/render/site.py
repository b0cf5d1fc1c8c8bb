"""The folder of the site: pages, tables, figures, one style sheet, two scripts."""

import shutil
from importlib.resources import files
from pathlib import Path

from comvae.errors import ResultsError
from dashboard.sections.blocks import Notice
from dashboard.site import html, vega
from dashboard.site.material import Material, load
from dashboard.site.pages import PAGES, Page

STYLE, CHARTS, LIBRARIES = "site.css", "charts.js", "vega.js"
MARK = '<meta name="generator" content="comvae site">'  # in every page


def build(results: Path, output: Path) -> list[str]:
    """Write the site of `results` into `output`; return what could not be read.

    The same results give the same bytes. Raises ResultsError where there are no results
    at all, and where `output` holds something else than such a site.
    """
    found = load(results)
    _may_replace(output)
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(found, partial)
        if output.exists():
            shutil.rmtree(output)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found.problems


def _may_replace(output: Path) -> None:
    if not output.exists():
        return
    index = output / "index.html"
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.is_dir() and index.is_file() and MARK in index.read_text("utf-8"):
        return
    raise ResultsError(
        f"{output}: is no site of a study, expected an empty folder or none; choose "
        "another with --output"
    )


def _write(found: Material, folder: Path) -> None:
    tables = _tables(found, folder)
    datasets = found.datasets or [""]
    for dataset in datasets:
        for page in PAGES:
            _page(found, folder, page, dataset, tables)
    templates = files("dashboard.site") / "templates"
    for name in (STYLE, CHARTS):
        _put(folder / "assets" / name, (templates / name).read_bytes())
    _put(folder / "assets" / LIBRARIES, vega.javascript().encode())


def _tables(found: Material, folder: Path) -> set[str]:
    """Copy the tables as they are, the damaged ones not."""
    whole = {name for name, table in found.tables.items() if table is not None}
    for name in whole:
        path = found.results / "tables" / f"{name}.csv"
        _put(folder / "tables" / path.name, path.read_bytes())
    return whole


def _page(
    found: Material, folder: Path, page: Page, dataset: str, tables: set[str]
) -> None:
    first = (found.datasets or [""])[0]
    stem = _stem(page, dataset, first)
    notices = [Notice(text, warning=True) for text in found.study.index.problems]
    rendered = html.render([*notices, *page.blocks(found, dataset)], stem, tables)
    name = found.study.name
    text = html.page_html(
        mark=MARK,
        study=f"Study: {name}" if name else "The study",
        page=page,
        dataset=dataset,
        pages=[
            {"title": p.title, "path": f"{_stem(p, dataset, first)}.html", "is": p}
            for p in PAGES
        ],
        datasets=[
            {"name": d, "path": f"{_stem(page, d, first)}.html"} for d in found.datasets
        ],
        paths={p.name: f"{_stem(p, dataset, first)}.html" for p in PAGES},
        sections=rendered.sections,
    )
    # a site is read by others: where it was written is nothing to them
    text = text.replace(f"{found.results}/", "")
    _put(folder / f"{stem}.html", text.encode())
    for path, content in rendered.files.items():
        _put(folder / path, content)


def _stem(page: Page, dataset: str, first: str) -> str:
    return page.file if dataset == first else f"{page.file}-{dataset}"


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
