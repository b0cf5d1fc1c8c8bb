"""The choice of a study: those planned here, and those that are published."""

import shutil

import pytest

from comvae.results.publishing import publish
from comvae.study.plan import Plan
from tests.dashboard.studies import FEW, write_study
from tests.dashboard.visitor import show, text
from tests.support import ROOT


@pytest.fixture
def published(tmp_path):
    """A published study of three models."""
    whole = write_study(tmp_path / "whole", models=FEW)
    record = "datasets/digits/dataset.json"  # a whole one
    shutil.copy(ROOT / "results" / "published" / "digits" / record, whole / record)
    publish(whole, Plan.read(whole), tmp_path / "published" / "test")
    return tmp_path / "published"


def test_a_published_study_is_shown_where_nothing_has_run(results, published):
    shutil.copytree(published, results / "published")
    app = show("overview")
    assert "Study: test" in text(app)
    assert "9 of 9 runs finished" in text(app)
    [choice] = app.selectbox
    assert choice.options == ["test (published)"] and not app.warning


def test_a_study_of_this_folder_comes_first(results, published):
    write_study(results, models=FEW[:2])
    shutil.copytree(published, results / "published")
    app = show("overview")
    [choice] = app.selectbox
    assert choice.options == ["test", "test (published)"]
    assert choice.value == "test" and "6 of 6 runs finished" in text(app)
    choice.set_value("test (published)").run()
    assert "9 of 9 runs finished" in text(app)


def test_runs_without_a_plan_are_shown_beside_a_published_study(results, published):
    write_study(results, models=FEW)
    shutil.copytree(published, results / "published")
    shutil.rmtree(results / "studies")
    [choice] = show("overview").selectbox
    assert choice.options == ["without a plan", "test (published)"]
