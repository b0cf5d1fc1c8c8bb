"""The folder of the site: pages, tables, figures, one style sheet, two scripts."""

import shutil
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from comvae.errors import ResultsError
from dashboard.elements import Ask
from dashboard.pages import PAGES, Page
from dashboard.render import vega
from dashboard.render.html import Written
from dashboard.study import Study, load_study

STYLE, CHARTS, LIBRARIES = "site.css", "charts.js", "vega.js"
MARK = '<meta name="generator" content="comvae site">'  # in every page
FIRST = "index"  # the file of the first page
WRITTEN = [page for page in PAGES if page.written]  # the pages that a site has


def build(results: Path, output: Path) -> list[str]:
    """Write the site of `results` into `output`; return what could not be read.

    The same results give the same bytes. Raises ResultsError where there are no results
    at all, and where `output` holds something else than such a site.
    """
    study = load_written(results)
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
    return list(dict.fromkeys([*study.index.problems, *study.damaged.values()]))


def load_written(results: Path) -> Study:
    """A study to write. Raises ResultsError where there is nothing at all."""
    study = load_study(results)
    if not study.datasets and not study.index.problems and not study.damaged:
        raise ResultsError(
            f"{results}: holds no results, expected those of a study; run `make study` "
            "first, or name another folder in COMVAE_RESULTS"
        )
    return study


def _write(study: Study, folder: Path) -> None:
    for dataset in study.datasets or [""]:
        for page in WRITTEN:
            _page(study, folder, page, dataset)
    templates = files("dashboard.render") / "templates"
    for name in (STYLE, CHARTS):
        _put(folder / "assets" / name, (templates / name).read_bytes())
    _put(folder / "assets" / LIBRARIES, vega.javascript().encode())


def _page(study: Study, folder: Path, page: Page, dataset: str) -> None:
    first = (study.datasets or [""])[0]

    def stem(other: Page, of: str) -> str:
        """The file of a page on a dataset: that of the first one has no dataset."""
        base = FIRST if other is PAGES[0] else other.path
        return base if of == first else f"{base}-{of}"

    written = Written(study, stem(page, dataset))
    for element in page.elements(study, Ask(dataset, written.add)):
        written.add(element)
    text = written.page(
        mark=MARK,
        study=study.headline,
        page=page,
        head=page.head(study),
        dataset=dataset,
        pages=WRITTEN,
        paths={other.path: f"{stem(other, dataset)}.html" for other in WRITTEN},
        datasets={other: f"{stem(page, other)}.html" for other in study.datasets},
    )
    # a site is read by others: where it was written is nothing to them
    text = text.replace(f"{study.results}/", "")
    _put(folder / f"{stem(page, dataset)}.html", text.encode())
    for path, content in written.files.items():
        _put(folder / path, content)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
