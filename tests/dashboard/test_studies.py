"""The page Studies: this study beside another one, and its datasets side by side."""

import shutil

import pytest

from dashboard.render.site import build, pages_of
from dashboard.study import load_study
from tests.dashboard.studies import FEW, TITLES, edit, edit_json, write_study
from tests.dashboard.visitor import charts, show, sortable, table, text

LESS = {0: 1.0, 1: 1.1, 2: 1.2}  # nats by seed


@pytest.fixture
def other(results):
    """The folder of another version beside the results: two of their models."""
    write_study(results)
    return write_study(results / "published" / "test", models=FEW[:2])


def test_versions_are_paired_by_seed(results, other):
    def worse(runs):
        more = runs["seed"].map(LESS) * runs["model"].eq("vanilla")
        return runs.assign(negative_elbo=runs["negative_elbo"] + more)

    edit(other, "runs", worse)
    app = show("studies", study="test")
    assert app.selectbox(key="with").options == ["test (published)"]
    shown = sortable(app).set_index("Model")
    assert shown.index.tolist() == TITLES[:2], "the models that both have"
    assert shown.loc[TITLES[0], "Gain"] == "+1.10 [+0.85, +1.35]"
    here, there = (float(shown.loc[TITLES[0], side]) for side in ("Here", "There"))
    assert there - here == pytest.approx(1.1)
    assert shown["Which is"].tolist() == ["better", "equal"] and len(charts(app)) == 1


def test_other_seeds_are_not_paired(results, other):
    edit(other, "runs", lambda runs: runs.assign(seed=runs["seed"] + 3))
    shown = sortable(show("studies", study="test"))
    assert shown["Which is"].tolist() == ["not paired"] * 2
    assert shown["Gain"].tolist() == ["0.00 (no interval)"] * 2


def test_settings_that_differ_are_listed(results, other):
    assert "On digits: nothing." in text(show("studies", study="test"))
    [path] = other.glob("runs/digits/vanilla/*/*/run.json")
    edit_json(path, training={"epochs": 7})
    shown = table(show("studies", study="test")).set_index("What")
    row = shown.loc["training.epochs"]
    assert row.tolist() == [TITLES[0], "3", "7"]


def test_datasets_stand_side_by_side(results):
    write_study(results, models=FEW[:2], datasets=("digits", "mnist"))
    app = show("studies")
    assert "Its datasets side by side" in [head.value for head in app.header]
    assert len(charts(app)) == 2 and "No other study in results/studies" in text(app)


def test_a_study_without_a_common_cell_is_not_offered(results, other):
    write_study(results / "published" / "else", models=FEW, datasets=("mnist",))
    assert show("studies", study="test").selectbox(key="with").options == [
        "test (published)"
    ]


def test_the_site_has_the_page_where_there_is_something_beside(results, other):
    study = load_study(results)
    assert "studies" in [page.path for page in pages_of(study)]
    build(study, results / "site")
    page = (results / "site" / "studies.html").read_text("utf-8")
    assert "test (published) on digits" in page and str(results) not in page
    shutil.rmtree(other)
    assert "studies" not in [page.path for page in pages_of(study)]
