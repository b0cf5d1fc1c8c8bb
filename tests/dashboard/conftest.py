"""Fixtures of the dashboard's tests: folders of results, and fresh processes."""

import sys

import pytest

from dashboard import progress
from tests.dashboard.studies import write_study


@pytest.fixture(autouse=True)
def own_main_module():
    """AppTest leaves the app in the place of `__main__`, which processes that later
    tests start would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def look_again():
    """Forget how far the studies of the tests before were."""
    progress.forget()


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of results that the dashboard reads."""
    folder = tmp_path / "results"
    monkeypatch.setenv("COMVAE_RESULTS", str(folder))
    return folder


@pytest.fixture
def whole(results):
    """The folder of results, with all that a study of three models writes."""
    return write_study(results)
