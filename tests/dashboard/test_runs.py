"""The page Runs: every run, models over their seeds, runs beside each other, MLflow."""

import re
import statistics

import pytest

from tests.dashboard.studies import FEW, TITLES, edit, edit_json, write_study
from tests.dashboard.visitor import show, table, text
from tests.results.written import value
from tests.support import study_in

LOST = ("digits", "compound-mixture", 1)


def choose_rows(app, rows):
    """Choose rows of the table, as clicks do."""
    key = app.dataframe[0].key
    app.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    app.run()
    assert not app.exception


def test_every_run_is_listed(results):
    write_study(results, failed=[LOST])
    app = show("runs")
    shown = app.dataframe[0].value.set_index(["Model", "Seed"])
    assert shown["Status"].value_counts().to_dict() == {"finished": 8, "failed": 1}
    for seed in range(3):
        found = shown.loc[(TITLES[0], seed), "Negative ELBO"]
        assert found == pytest.approx(value(0, seed, "negative_elbo", "test"))
    assert set(shown["Commit"].dropna()) - {""} == {"synthetic"}
    assert shown["Parameters"].dropna().eq(12_345).all()
    assert shown["Training time"].dropna().eq(12.5 / 3).all() and not app.warning
    assert "In nats per image" in text(app)


def test_what_is_shown_is_chosen(results):
    write_study(results, datasets=("digits", "mnist"))
    app = show("runs", dataset="mnist", models="vanilla", split="train")
    shown = app.dataframe[0].value
    assert shown["Model"].tolist() == [TITLES[0]] * 3
    expected = [value(0, seed, "reconstruction", "train") for seed in range(3)]
    assert shown["Reconstruction"].tolist() == pytest.approx(expected)
    app.multiselect(key="models").set_value([]).run()
    assert "choose at least one model" in text(app) and not app.dataframe
    app.multiselect(key="models").set_value(["compound-mixture"]).run()
    assert app.query_params["models"] == "compound-mixture"


def test_seeds_are_grouped_by_model(results):
    write_study(results, failed=[LOST])
    shown = table(show("runs", rows="models")).set_index("Model")
    assert shown.index.tolist() == TITLES
    values = [value(2, seed, "latent_kl", "test") for seed in (0, 2)]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert shown.loc[TITLES[2], "Latent KL"] == f"{mean:.2f} ± {deviation:.2f}"
    assert shown.loc[TITLES[2], "Seeds"] == "3"
    assert shown.loc[TITLES[0], "Parameters"] == "12,345"


def test_chosen_runs_stand_beside_each_other(results):
    write_study(results)
    vanilla = {"vanilla": "0123"}
    edit(
        results,
        "runs",
        lambda rows: rows.assign(
            git_commit=rows["model"].map(vanilla).fillna(rows["git_commit"])
        ),
    )
    app = show("runs")
    choose_rows(app, [1, 8])
    assert app.query_params["run"] == "vanilla:1,compound-mixture:2"
    beside = table(app).set_index("What")
    first, second = f"{TITLES[0]}, seed 1", f"{TITLES[2]}, seed 2"
    assert list(beside) == [first, second]
    expected = value(2, 2, "negative_elbo", "test")
    assert beside.loc["Negative ELBO", second] == f"{expected:.2f}"
    assert beside.loc["Commit"].tolist() == ["0123", "synthetic"]
    assert beside.loc["options.hidden_layer"].tolist() == ["linear", "dynamic"]
    assert beside.loc["training.epochs"].tolist() == ["3", "3"]
    styles = app.table[0].proto.arrow_data.styler.styles
    rows = {int(row) for row in re.findall(r"_row(\d+)_col0", styles)}
    assert {beside.index[row] for row in rows} == {
        name for name, values in beside.iterrows() if values.nunique() > 1
    }, "what differs stands out"
    links = [link.proto.label.replace("\\", "") for link in app.get("page_link")]
    assert links == [first, second]
    choose_rows(app, [])
    assert not app.table and app.query_params["run"] == ""


def test_chosen_runs_are_in_the_address(results):
    write_study(results)
    app = show("runs", run="vanilla:0,no-such:1,compound-mixture:x")
    assert table(app).columns.tolist() == ["What", f"{TITLES[0]}, seed 0"]
    app.query_params["run"] = "simplified-mixture:2"  # the browser's Back
    app.run()
    assert table(app).columns.tolist() == ["What", f"{TITLES[1]}, seed 2"]
    app.query_params.clear()
    app.run()
    assert not app.table and not app.exception


def test_damaged_settings_are_named_and_the_rest_stands(results):
    write_study(results)
    path = next(results.glob("runs/*/vanilla/*/*/run.json"))
    app = show("runs", run="vanilla:0")
    path.write_text("{")
    app.run()
    assert any(str(path) in w.value.replace("\\", "") for w in app.warning)
    assert len(app.dataframe[0].value) == 9


@pytest.mark.parametrize(
    ("uri", "address", "command"),
    [
        (None, "http://127.0.0.1:5000/#/experiments", "/mlflow/mlflow.db"),
        ("sqlite:////x y/r.db", "http://127.0.0.1:5000/#/experiments", "'sqlite:////x"),
        ("https://u:secret@m.example/", "https://m.example/#/experiments", None),
    ],
)
def test_the_way_into_mlflow(results, uri, address, command):
    write_study(results)
    edit_json(study_in(results) / "study.json", tracking_uri=uri)
    app = show("runs")
    [link] = app.get("link_button")
    assert link.proto.url == address and "experiment digits" in text(app)
    codes = [code.value for code in app.code if "mlflow" in code.value]
    assert [command in code for code in codes] == ([] if command is None else [True])
    assert "secret" not in text(app)


def test_before_the_tables_runs_are_known_by_their_files(results):
    write_study(results, missing=[("digits", FEW[0])])
    for path in study_in(results).glob("tables/*"):
        path.unlink()
    shown = show("runs").dataframe[0].value
    assert shown["Status"].tolist()[-3:] == ["not trained yet"] * 3
