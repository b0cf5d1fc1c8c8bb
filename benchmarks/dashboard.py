"""How long visitors wait for pages: `python -m benchmarks.dashboard`.

It needs Chromium and the extra `test`; docs/dashboard.md has what was measured.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import sync_playwright

from tests.results.written import write_large_results
from tests.slow.browser.dashboard_server import served
from tests.slow.browser.visitor import NAVIGATION, Visit, launch, visit

VISITS = 5
DRAWN = """title => document.querySelector('h1')?.innerText.includes(title)
  && document.querySelector('[data-test-script-state="notRunning"]')
  && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
  && [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
    .every(chart => chart.querySelector('svg.marks'))
  && [...document.images].every(image => image.complete)"""


def main(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Folders of results.")
    ] = None,
) -> None:
    """Time the pages of each folder of results, or of 10,000 synthetic runs."""
    with tempfile.TemporaryDirectory() as scratch:
        if not results:
            results = [Path(scratch, "results")]
            write_large_results(results[0])
        for folder in results:
            first, *later, switches = measure(folder, Path(scratch, "log.txt"))
            print(f"{folder}: first visit {first:.2f} s, later visits {told(later)}")
            for title, seconds in switches.items():
                print(f"  switch to {title}: {told(seconds)}")


def told(seconds: list[float]) -> str:
    """The least of several measurements, and the most."""
    return f"{min(seconds):.2f} s (least of {len(seconds)}, most {max(seconds):.2f})"


def measure(results: Path, log: Path) -> list:
    """Seconds from each request to a finished page with its charts, and from each click
    in the navigation, by the title of the page, to the page.

    The first visit is that of a server that has shown nothing; the later ones are of
    new visitors, whose browsers have nothing of it.
    """
    found: list = []
    with served(results, log) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(1 + VISITS):
            with visit(browser, server.url) as seen:
                found.append(_timed(seen, "", lambda: _open(seen, server.url)))
        with visit(browser, server.url) as seen:
            _open(seen, server.url)
            seen.settle()
            switches: dict[str, list[float]] = {title: [] for title in seen.pages()}
            for _ in range(VISITS):
                for title in [*list(switches)[1:], *list(switches)[:1]]:
                    head = "Study" if title == "Overview" else title
                    link = seen.page.locator(NAVIGATION).get_by_text(title, exact=True)
                    switches[title].append(_timed(seen, head, link.click))
                    seen.settle()
        browser.close()
    return [*found, switches]


def _open(seen: Visit, url: str) -> None:
    seen.page.goto(url, wait_until="commit")


def _timed(seen: Visit, title: str, begin: Callable[[], None]) -> float:
    began = time.perf_counter()
    begin()
    seen.page.wait_for_function(DRAWN, arg=title, polling=20)
    return time.perf_counter() - began


if __name__ == "__main__":
    typer.run(main)
