"""One study, one server that shows it and one Chromium for all of these tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.dashboard.studies import FEW, write_study
from tests.results.written import OPTIONS
from tests.slow.browser.dashboard_server import Server, served
from tests.slow.browser.visitor import Visit, launch, visit
from tests.support import ROOT

SCREENSHOTS = ROOT / "logs" / "browser-test"  # of the tests that failed
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """Synthetic results of every model, and an earlier version of some beside them."""
    folder = tmp_path_factory.mktemp("study") / "results"
    write_study(folder, models=OPTIONS)
    write_study(folder / "published" / "earlier", models=FEW, epochs=4)
    return folder


@pytest.fixture(scope="session")
def server(results, tmp_path_factory) -> Iterator[Server]:
    """The dashboard of that study."""
    with served(results, tmp_path_factory.mktemp("server") / "log.txt") as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture
def visitor(request, browser, server) -> Iterator[Callable[..., Visit]]:
    """Opens windows; at the end none of them may have seen an error."""
    with ExitStack() as windows:
        opened: list[Visit] = []

        def open_window(**how: object) -> Visit:
            opened.append(windows.enter_context(visit(browser, server.url, **how)))
            return opened[-1]

        yield open_window
        problems = [problem for seen in opened for problem in seen.problems]
        if problems or request.node.stash.get(FAILED, False):
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            for number, seen in enumerate(opened):
                seen.whole_page()
                name = f"{request.node.name}-{number}.png"
                seen.page.screenshot(path=SCREENSHOTS / name)
        assert problems == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
