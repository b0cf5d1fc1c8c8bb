"""The folder of the site: pages, tables, figures, one style sheet, two scripts."""

import shutil
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from comvae.errors import ResultsError
from dashboard import records
from dashboard.elements import Ask
from dashboard.pages import PAGES, Page
from dashboard.render import vega
from dashboard.render.html import Written
from dashboard.study import Study

STYLE, CHARTS, LIBRARIES = "site.css", "charts.js", "vega.js"
MARK = 'name="generator" content="comvae site"'  # in every page
FIRST = "index"  # the file of the first page
MAIN = {  # figures for the Snakemake report and for papers: page and chart of each
    "test-negative-elbo": ("table-1", "negative_elbo-test"),
    "differences-to-vanilla": ("compare", "differences-negative_elbo"),
    "gaps": ("gaps", "stack-gaps"),
    "gains": ("gaps", "gains"),
    "claims": ("claims", "effects"),
    "training": ("compare", "curves-negative_elbo"),
}


def pages_of(study: Study) -> list[Page]:
    """The pages that a site of a study has."""
    return [p for p in PAGES if p.is_there(study.folder) and p.written(study)]


def build(study: Study, output: Path, figures: Path | None = None) -> list[str]:
    """Write the site of a study into `output`; return what could not be read.

    The main figures are written below `figures` too, as `<dataset>/<figure>.svg`. The
    same results give the same bytes. Raises ResultsError where there are no results at
    all, and where `output` holds something else than such a site.
    """
    if not study.datasets and not study.index.problems and not study.damaged:
        raise ResultsError(
            f"{study.results}: holds no results, expected those of a study; run "
            "`make study` first, or name another folder in COMVAE_RESULTS"
        )
    index = output / f"{FIRST}.html"
    older = index.is_file() and MARK in index.read_text("utf-8")
    empty = output.is_dir() and not any(output.iterdir())
    if output.exists() and not older and not empty:
        raise ResultsError(
            f"{output}: is no site of a study, expected an empty folder or none; "
            "choose another with --output"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as partial:
        site = Path(partial) / "site"
        _write(study, site)
        if output.exists():
            shutil.rmtree(output)
        site.rename(output)
    if figures is not None:
        _copy_figures(study, output, figures)
    return list(dict.fromkeys([*study.index.problems, *study.damaged.values()]))


def _write(study: Study, folder: Path) -> None:
    pages = pages_of(study)
    for dataset in study.datasets or [""]:
        for page in pages:
            _page(study, folder, page, dataset, pages)
    templates = files("dashboard.render") / "templates"
    for name in (STYLE, CHARTS):
        _put(folder / "assets" / name, (templates / name).read_bytes())
    _put(folder / "assets" / LIBRARIES, vega.javascript().encode())


def _stem(study: Study, path: str, dataset: str) -> str:
    """The file of a page on a dataset: that of the first one has no dataset."""
    base = FIRST if path == PAGES[0].path else path
    return base if dataset in ("", *study.datasets[:1]) else f"{base}-{dataset}"


def _page(
    study: Study, folder: Path, page: Page, dataset: str, pages: list[Page]
) -> None:
    stem = _stem(study, page.path, dataset)
    written = Written(study, stem)
    for element in page.elements(study, Ask(dataset, written.add)):
        written.add(element)
    text = written.page(
        mark=MARK,
        study=PAGES[0].head(study),
        page=page,
        trained=records.finished(records.load_blocks(study.index.runs)[0]),
        head=page.head(study),
        dataset=dataset,
        pages=pages,
        paths={p.path: f"{_stem(study, p.path, dataset)}.html" for p in pages},
        datasets={d: f"{_stem(study, page.path, d)}.html" for d in study.datasets},
    )
    # a site is read by others: where it was written is nothing to them
    for place in (study.folder, study.results):
        text = text.replace(f"{place}/", "")
    _put(folder / f"{stem}.html", text.encode())
    for path, content in written.files.items():
        _put(folder / path, content)


def _copy_figures(study: Study, site: Path, folder: Path) -> None:
    for dataset in study.datasets:
        for figure, (path, chart) in MAIN.items():
            drawn = site / "figures" / f"{_stem(study, path, dataset)}-{chart}.svg"
            if drawn.is_file():
                _put(folder / dataset / f"{figure}.svg", drawn.read_bytes())


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
