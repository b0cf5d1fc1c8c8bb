"""A visitor of the dashboard in Chromium, who notes every error of the browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Playwright

WATCH = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  const state = () => app.dataset.testScriptState;
  window.left = location.href;
  window.ran = false;
  let before = state();
  window.watch?.disconnect();
  window.watch = new MutationObserver(() => {
    if (before !== 'notRunning' && state() === 'notRunning') window.ran = true;
    before = state();
  });
  window.watch.observe(app, { attributeFilter: ['data-test-script-state'] });
}"""
SETTLED = """quiet => {
  const app = document.querySelector('[data-testid="stApp"]');
  const charts = [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')];
  const images = [...document.querySelectorAll('[data-testid="stImage"] img')];
  const busy = app?.dataset.testScriptState !== 'notRunning'
    || window.ran === false || window.left === location.href
    || !document.querySelector('h1')
    || document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
    || charts.some(chart => !chart.querySelector('svg.marks'))
    || images.some(image => !image.complete);
  if (busy) window.busyAt = performance.now();
  return performance.now() - (window.busyAt ??= performance.now()) > quiet;
}"""
PATIENCE = 120_000  # milliseconds until a page that is not finished is an error
QUIET = 500  # milliseconds without work until a page counts as finished
NAVIGATION = '[data-testid="stTopNavLink"], [data-testid="stSidebarNavLink"]'
PROBES = ("/_stcore/health", "/_stcore/host-config")  # see docs/dashboard.md


@dataclass
class Visit:
    """An open page of the dashboard, and what went wrong in it."""

    page: Page
    url: str  # of the dashboard
    problems: list[str] = field(default_factory=list)

    def open(self, path: str = "") -> None:
        """Open an address below the dashboard's, and wait until it is finished."""
        self.page.goto(f"{self.url}/{path.lstrip('/')}")
        self.settle()

    def settle(self) -> None:
        """Wait until the page's script has ended and its charts are drawn."""
        self.page.wait_for_function(SETTLED, arg=QUIET, polling=50, timeout=PATIENCE)

    def pages(self) -> dict[str, str]:
        """Path by title of every page in the navigation."""
        links = self.page.locator(NAVIGATION).evaluate_all(
            "links => links.map(a => [a.textContent, new URL(a.href).pathname])"
        )
        return dict(links)

    def follow(self, title: str) -> None:
        """Click the title of another page in the navigation."""
        opener = self.page.get_by_test_id("stExpandSidebarButton")
        if opener.is_visible():  # a narrow window
            opener.click()
        link = self.page.locator(NAVIGATION).filter(
            has=self.page.get_by_text(title, exact=True)
        )
        self.click(link)

    def click(self, element: Locator) -> None:
        """Click what changes the address, and wait until the page is finished."""
        self.page.evaluate(WATCH)  # or it counts as finished before its script runs
        element.click()
        self.settle()

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a select box, and wait until the page is finished."""
        self.page.get_by_label(label, exact=True).click()
        self.click(self.page.get_by_role("option", name=option, exact=True))

    def go(self, steps: int) -> None:
        """The browser's Back, -1, or Forward, 1."""
        self.page.evaluate(WATCH)
        self.page.evaluate("steps => history.go(steps)", steps)
        self.settle()

    def heading(self) -> str:
        """The title of the page."""
        return self.page.locator("h1").inner_text()

    def path(self) -> str:
        """The path of the page's address, `/` for the first page."""
        return urlsplit(self.page.url).path

    def query(self) -> str:
        """What stands behind the question mark of the address."""
        return urlsplit(self.page.url).query

    def words(self) -> str:
        """Everything that can be read in the page, but for its foot, which has the
        time."""
        whole = self.page.get_by_test_id("stMain").inner_text()
        return whole.rpartition("As of 2")[0]

    def whole_page(self) -> None:
        """Make the window as high as what stands in it, so that nothing scrolls."""
        height = self.page.get_by_test_id("stMain").evaluate("e => e.scrollHeight")
        width = self.page.viewport_size["width"]
        self.page.set_viewport_size({"width": width, "height": max(height, 900)})
        self.page.wait_for_timeout(QUIET)
        self.settle()


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, or another one that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError("found no Chromium: apt-get install chromium")
    return playwright.chromium.launch(executable_path=found)


@contextmanager
def visit(
    browser: Browser, url: str, width: int = 1440, theme: str = "light"
) -> Iterator[Visit]:
    """A new visitor: no cookies, a window of `width` pixels, a light or dark theme."""
    window = {"width": width, "height": 900}
    context = browser.new_context(color_scheme=theme, viewport=window)
    try:
        seen = Visit(context.new_page(), url)
        _note(seen)
        yield seen
    finally:
        context.close()


def _note(seen: Visit) -> None:
    page, note = seen.page, seen.problems.append
    own = urlsplit(seen.url).netloc

    def on_response(response) -> None:
        if response.status >= 400 and not _is_probe(response.url):
            note(f"{response.status} for {response.url}")

    def on_request(request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc != own:
            note(f"asked another server: {request.url}")

    def on_console(message) -> None:
        if message.type == "error" and not _is_probe(message.location.get("url", "")):
            note(f"console: {message.text}")

    page.on("response", on_response)
    page.on("request", on_request)
    page.on("console", on_console)
    page.on("pageerror", lambda error: note(f"uncaught: {error}"))
    page.on("requestfailed", lambda r: note(f"failed: {r.url}: {r.failure}"))


def _is_probe(url: str) -> bool:
    """One of the frontend's two questions below the address of a page."""
    path = urlsplit(url).path
    return any(path.endswith(probe) and path != probe for probe in PROBES)
