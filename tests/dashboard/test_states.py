"""Every page of the navigation in every state of a study, and with 10,000 runs."""

import ast

import pytest

from tests.dashboard.test_dashboard import ROOT, own_main_module, results, show, text
from tests.dashboard.test_pages import write_study
from tests.results.synthetic import write_large_results
from tests.results.written import MODELS

__all__ = ["own_main_module", "results"]  # fixtures
SHOWN = ("vega_lite_chart", "table", "dataframe", "image")
WORDS = 60  # characters that a page says at least
NEED_MORE = ("pictures", "runs")  # than synthetic results have: pictures, MLflow


def pages():
    """The files of all pages that app.py puts into the navigation, without suffix."""
    tree = ast.parse((ROOT / "dashboard" / "app.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call.args[0].value.removeprefix("views/").removesuffix(".py")
        for call in calls
        if getattr(call.func, "attr", "") == "Page"
    ]


PAGES = pages()


def shown(app):
    """How many charts, tables and pictures a page has."""
    return sum(len(app.get(kind)) for kind in SHOWN)


def said(app):
    """What a page says; it must be more than its title."""
    words = text(app)
    assert len(words) > WORDS
    return words


def test_every_view_is_in_the_navigation():
    files = sorted(path.stem for path in (ROOT / "dashboard" / "views").glob("*.py"))
    assert sorted(PAGES) == files


@pytest.mark.parametrize("page", PAGES)
def test_without_results(results, page):
    app = show(page)
    assert "make study" in said(app)
    assert shown(app) == 0 or page == "provenance"  # of this machine, not of results


@pytest.mark.parametrize("page", PAGES)
def test_with_one_finished_block(results, page):
    write_study(results, missing=[("digits", model) for model in MODELS[1:]])
    said(show(page))


@pytest.mark.parametrize("page", PAGES)
def test_with_failed_blocks(results, page):
    lost = [("digits", "compound-mixture", seed) for seed in range(3)]
    write_study(results, failed=[*lost, ("digits", "simplified-mixture", 1)])
    app = show(page)
    said(app)
    assert shown(app) or page in NEED_MORE


@pytest.mark.parametrize("page", PAGES)
def test_with_nothing_but_failures(results, page):
    models = ("vanilla", "compound-mixture")
    failed = [("digits", model, seed) for model in models for seed in range(3)]
    write_study(results, models=models, failed=failed)
    said(show(page))


@pytest.mark.parametrize("page", PAGES)
def test_with_all_results(results, page):
    write_study(results, models=MODELS)
    app = show(page)
    said(app)
    assert shown(app) or page in NEED_MORE


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A finished study of 10,000 runs, whose gaps are not measured."""
    folder = tmp_path_factory.mktemp("large") / "results"
    plan = write_large_results(folder)
    assert sum(len(block.seeds) for block in plan.blocks) == 10_000
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_with_ten_thousand_runs(large, monkeypatch, page):
    monkeypatch.setenv("COMVAE_RESULTS", str(large))
    app = show(page)
    said(app)
    assert shown(app) or page in (*NEED_MORE, "gaps")
