"""How long visitors wait for the first page: `python -m benchmarks.dashboard`.

Without folders of results it measures 10,000 synthetic runs. It needs Chromium and the
extra `test`; docs/dashboard.md has what was measured.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.results.synthetic import write_large_results
from tests.slow.browser.dashboard_server import served
from tests.slow.browser.visitor import launch, visit

VISITS = 5
DRAWN = """() => document.querySelector('h1')
  && document.querySelector('[data-test-script-state="notRunning"]')
  && document.querySelector('[data-testid="stVegaLiteChart"] svg.marks')"""


def main() -> None:
    """Measure the first page of each folder of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, help="folders of results")
    chosen = parser.parse_args().results
    with tempfile.TemporaryDirectory() as scratch:
        if not chosen:
            chosen = [Path(scratch, "results")]
            write_large_results(chosen[0])
        for results in chosen:
            first, later = measure(results, Path(scratch, "log.txt"))
            print(
                f"{results}: first visit {first:.2f} s, later visits "
                f"{statistics.median(later):.2f} s (median of {len(later)}, "
                f"{min(later):.2f} to {max(later):.2f})"
            )


def measure(results: Path, log: Path) -> tuple[float, list[float]]:
    """Seconds from the request to a finished page with its chart.

    The first visit is that of a server that has shown nothing; the later ones are of
    new visitors, whose browsers have nothing of it.
    """
    with served(results, log) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        seconds = [first_page(browser, server.url) for _ in range(1 + VISITS)]
        browser.close()
    return seconds[0], seconds[1:]


def first_page(browser, url: str) -> float:
    """Seconds that a new visitor waits for the first page."""
    with visit(browser, url) as seen:
        began = time.perf_counter()
        seen.page.goto(url, wait_until="commit")
        seen.page.wait_for_function(DRAWN, polling=20)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
