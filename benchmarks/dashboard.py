"""How long visitors wait for the first page: `python -m benchmarks.dashboard`.

It needs Chromium and the extra `test`; docs/dashboard.md has what was measured.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import sync_playwright

from tests.results.written import write_large_results
from tests.slow.browser.dashboard_server import served
from tests.slow.browser.visitor import launch, visit

VISITS = 5
DRAWN = """() => document.querySelector('h1')
  && document.querySelector('[data-test-script-state="notRunning"]')
  && document.querySelector('[data-testid="stVegaLiteChart"] svg.marks')"""


def main(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Folders of results.")
    ] = None,
) -> None:
    """Time the first page of each folder of results, or of 10,000 synthetic runs."""
    with tempfile.TemporaryDirectory() as scratch:
        if not results:
            results = [Path(scratch, "results")]
            write_large_results(results[0])
        for folder in results:
            first, *later = measure(folder, Path(scratch, "log.txt"))
            print(
                f"{folder}: first visit {first:.2f} s, later visits "
                f"{statistics.median(later):.2f} s (median of {len(later)}, "
                f"{min(later):.2f} to {max(later):.2f})"
            )


def measure(results: Path, log: Path) -> list[float]:
    """Seconds from each request to a finished page with its chart.

    The first visit is that of a server that has shown nothing; the later ones are of
    new visitors, whose browsers have nothing of it.
    """
    seconds = []
    with served(results, log) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(1 + VISITS):
            with visit(browser, server.url) as seen:
                began = time.perf_counter()
                seen.page.goto(server.url, wait_until="commit")
                seen.page.wait_for_function(DRAWN, polling=20)
                seconds.append(time.perf_counter() - began)
        browser.close()
    return seconds


if __name__ == "__main__":
    typer.run(main)
