"""The main figures of a study as SVG files, for its Snakemake report and for papers."""

from pathlib import Path

from dashboard.elements import Ask, Chart
from dashboard.pages import PAGES
from dashboard.render import vega
from dashboard.render.site import load_written

MAIN = {  # page and chart, by the name of the figure
    "test-negative-elbo": ("overview", "means"),
    "differences-to-vanilla": ("compare", "differences-negative_elbo"),
    "gaps": ("gaps", "stack-gaps"),
    "gains": ("gaps", "gains"),
    "claims": ("claims", "effects"),
    "training": ("compare", "curves-negative_elbo"),
}


def write_figures(results: Path, folder: Path) -> list[Path]:
    """Write `<dataset>/<figure>.svg` below `folder`, those that there are data for."""
    study = load_written(results)
    needed = {page for page, _ in MAIN.values()}
    written = []
    for dataset in study.datasets:
        nobody = Ask(dataset, lambda element: None)
        charts = {
            (page.path, element.name): element
            for page in PAGES
            if page.path in needed
            for element in page.elements(study, nobody)
            if isinstance(element, Chart)
        }
        for figure, place in MAIN.items():
            if place in charts:
                path = folder / dataset / f"{figure}.svg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(vega.picture(charts[place]), "utf-8")
                written.append(path)
    return written
