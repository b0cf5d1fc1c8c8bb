"""The main figures of a study as SVG files, for its Snakemake report and for papers."""

from collections.abc import Iterator
from pathlib import Path

from dashboard.sections.blocks import Chart
from dashboard.site import vega
from dashboard.site.material import load
from dashboard.site.pages import PAGES

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
    found = load(results)
    written = []
    for dataset in found.datasets:
        charts = {
            (page.name, chart.name): chart
            for page in PAGES
            if page.name in {page for page, _ in MAIN.values()}
            for chart in _charts(page.blocks(found, dataset))
        }
        for figure, place in MAIN.items():
            if place in charts:
                path = folder / dataset / f"{figure}.svg"
                path.parent.mkdir(parents=True, exist_ok=True)
                light = vega.specification(charts[place].draw, dark=False)
                path.write_text(vega.still(light), "utf-8")
                written.append(path)
    return written


def _charts(blocks) -> Iterator[Chart]:
    return (block for block in blocks if isinstance(block, Chart))
