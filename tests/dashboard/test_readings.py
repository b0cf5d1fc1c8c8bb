"""The page Readings, and that only a study with readings has a way to it."""

import pandas as pd
import pytest

from dashboard.render.site import build
from dashboard.render.streamlit import streamlit_pages
from dashboard.study import load_study
from tests.dashboard.site_reader import Page
from tests.dashboard.studies import FEW, edit, write_study
from tests.dashboard.visitor import buttons, show, table, text
from tests.results.written import OPTIONS
from tests.support import study_in

READING = "compound-mixture-mean"


def visible() -> bool:
    return streamlit_pages()["readings"].visibility == "visible"


def test_the_first_sentence_says_which_reading_comes_closest(results):
    write_study(results, models=(*FEW, READING))
    found = pd.read_csv(study_in(results) / "tables" / "readings.csv").set_index(
        "model"
    )
    assert set(found.index) == {"compound-mixture", READING}
    [best] = found.index[found["best"] == "yes"].unique()
    best = OPTIONS[best].title if best == READING else "as it stands"
    least = found["distance"].min()
    app = show("readings")
    first = app.markdown[0].value.replace("\\", "")
    says = f"{best}, {least:.1f}% off where vanilla itself is 3.5% off."
    assert f"Compound, mixture prior: {says}" in first
    shown = table(app)
    names = ["Compound, mixture prior", OPTIONS[READING].title, "The paper"]
    assert shown.iloc[:, 0].tolist() == names
    assert shown.iloc[2, 3:].tolist()[:3] == ["107.77", "\N{MINUS SIGN}4.56", "0.96"]
    assert "readings.csv" in buttons(app)
    other = table(show("readings", split="train-running", paper="emnist-mnist"))
    assert other.iloc[2, 6] == "12.46" and other.iloc[0, 3] != shown.iloc[0, 3]


def test_what_did_not_finish_is_no_best_reading(results):
    lost = [("digits", model, seed) for model in FEW[2:] for seed in range(3)]
    write_study(results, models=(*FEW, READING), failed=lost)
    # and what is no closer than a row in which nothing changes reproduces nothing
    assert f"none, and at best {OPTIONS[READING].title}" in text(show("readings"))
    edit(results, "readings", lambda rows: rows.assign(best=""))
    assert "none of Compound" in text(show("readings"))


@pytest.mark.parametrize("models", [FEW, (*FEW, READING)])
def test_only_a_study_with_readings_has_a_way_to_the_page(results, tmp_path, models):
    write_study(results, models=models)
    there = READING in models
    assert visible() == there
    assert build(load_study(results), tmp_path / "site") == []
    assert (tmp_path / "site" / "readings.html").exists() == there
    assert ("Readings" in Page(tmp_path / "site" / "index.html").words) == there
