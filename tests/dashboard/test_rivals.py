"""The page Rivals: whole, with a part of what it shows, and where it is not."""

from dataclasses import replace

import pandas as pd
import pytest

from comvae.results import paths
from comvae.results.formats import PRICE
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from dashboard.pages import PAGES
from tests.dashboard.studies import FEW, TITLES
from tests.dashboard.visitor import charts, frame, frames, show, sortable, text
from tests.results.test_rivals import with_steps

[PAGE] = [page for page in PAGES if page.path == "rivals"]
SECONDS = dict(zip(FEW, (0.01, 0.02, 0.6), strict=True))


@pytest.fixture
def rivals(whole):
    """A study in which two models are rivals, with its tables; gives them anew with
    the price of some models."""
    plan = replace(Plan.read(whole), rivals=list(FEW[1:]))

    def write(models=FEW):
        rows = [
            dict(dataset="digits", model=model, seed=0, encode_seconds=SECONDS[model])
            | dict(decoder_evaluations=0.0, memory=2.5, device="cpu", threads=1)
            for model in models
        ]
        table = pd.DataFrame(rows, columns=PRICE.columns)
        table.to_csv(paths.price(plan.folder(whole)), index=False)
        write_tables(whole, plan)

    write_tables(whole, plan)
    return write


def test_the_first_sentence_answers_and_the_chart_has_every_model(rivals):
    rivals()
    app = show("rivals")
    first = app.markdown[0].value.replace("\\", "")
    assert first.startswith("On digits, vanilla's amortization gap on test images is")
    assert f"narrowed most by {TITLES[2]}, +0.40 ± 0.00 at 60 times" in first
    [chart] = charts(app)
    drawn = frame(chart, "title").set_index("title")
    assert drawn["encode_seconds"].to_dict() == dict(
        zip(TITLES, SECONDS.values(), strict=True)
    )
    assert (drawn["low"] <= drawn["gap"]).all() and (
        drawn["gap"] <= drawn["high"]
    ).all()
    shown = sortable(app).set_index("Model")
    assert shown.loc[TITLES[0], "Beside vanilla"] == "the reference"
    assert shown.loc[TITLES[2], "Gap closed"].startswith("+0.40 [")
    prices = ["Time to encode", "Decoder evaluations", "Training time", "Parameters"]
    assert set([*prices, "Memory"]) <= set(shown)
    assert shown["Time to encode"].tolist() == ["0.6", "0.02", "0.01"], "best first"


def test_without_a_price_the_gains_are_told_and_how_to_measure_it(rivals):
    app = show("rivals")
    assert not charts(app) and "comvae price" in text(app)
    assert "narrowed most by" in text(app) and " times" not in app.markdown[0].value
    assert sortable(app)["Gap closed"].str.startswith("+").sum() == 2


def test_a_part_of_the_prices_is_a_part_of_the_chart(rivals):
    rivals(FEW[:2])
    app = show("rivals")
    assert len(frame(charts(app)[0], "title")) == 2 and len(sortable(app)) == 3


def test_the_curve_of_steps_is_drawn_where_there_is_one(rivals, whole):
    rivals()
    assert not any("steps" in table for table in frames(charts(show("rivals"))[0]))
    write_tables(whole, with_steps(whole, Plan.read(whole), "svi-5"))
    app = show("rivals")
    assert frame(charts(app)[0], "steps")["steps"].tolist() == [0, 1, 5]
    assert "The dashed line" in text(app)


def test_the_first_page_has_the_sentence_and_the_time_to_encode(rivals):
    rivals()
    app = show("overview")
    assert "vanilla's amortization gap on test images is" in text(app)
    assert sortable(app)["s per 1,000"].astype(float).tolist() == [0.6, 0.02, 0.01]


def test_a_study_without_rivals_has_no_page(whole):
    folder = Plan.read(whole).folder(whole)
    assert not PAGE.is_there(folder)
    assert "There are no" not in text(show("rivals"))
    assert "s per 1,000" not in sortable(show("overview"))
