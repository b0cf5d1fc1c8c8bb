"""What the pages are made of: summaries, charts, marks, numbers as text."""

import io
import math

import pandas as pd
import pytest

from comvae.results import index as runs
from dashboard import summary, text, theme
from dashboard.charts import curves, means
from dashboard.render.streamlit import table_behind
from dashboard.study import load_study
from tests.dashboard.studies import FEW
from tests.results.written import MODELS, OPTIONS, write_results

ELBO = "negative_elbo"


@pytest.fixture
def rows(tmp_path):
    """Rows of one metric, from (mean, half width, paper) of models named a, b, ..."""

    def write(*values, metric=ELBO):
        table = pd.DataFrame(values, columns=["mean", "half", "paper"], dtype=float)
        table = table.assign(
            dataset="digits",
            model=[chr(ord("a") + i) for i in range(len(table))],
            split="test",
            metric=metric,
            std=0.0,
            ci_low=table["mean"] - table["half"],
            ci_high=table["mean"] + table["half"],
            n_seeds=table["mean"].notna() * 3.0,
        )
        (tmp_path / "tables").mkdir(exist_ok=True)
        table.to_csv(tmp_path / "tables" / "table1.csv", index=False)
        (tmp_path / "study.json").write_text('{"models": {"a": "Model A"}}')
        study = load_study(tmp_path)
        return summary.metric_rows(study, "digits", "test", metric)

    return write


# Summaries


def test_finding_names_every_rival_inside_the_noise(rows):
    text = summary.finding(rows((10, 1, None), (11.5, 1, None), (20, 1, None)), ELBO)
    assert "from 10.00 nats per image (Model A) to 20.00 nats per image (c)" in text
    assert text.endswith("The 95% interval of the lowest overlaps that of b.")


def test_finding_claims_no_order_without_intervals(rows):
    for values in [(10, None, None), (15, 1, None)], [(10, 1, None), (15, None, None)]:
        assert "nothing tells how sure" in summary.finding(rows(*values), ELBO)


def test_finding_calls_no_latent_kl_better(rows):
    table = rows((1, 0.1, None), (2, 0.1, None), metric="latent_kl")
    assert "overlap" not in summary.finding(table, "latent_kl")


def test_finding_of_nothing_and_of_one(rows):
    assert "No model has a finished run" in summary.finding(rows((None,) * 3), ELBO)
    assert "Model A has a negative ELBO of 3.00" in summary.finding(
        rows((3, 1, None)), ELBO
    )


def test_difference_is_ours_minus_the_papers(rows):
    table = rows((10, 1, 12), (10, 1, None))
    assert table["difference"].iloc[0] == -2
    assert math.isnan(table["difference"].iloc[1])


def test_a_skewed_interval_is_written_out(rows):
    row = next(rows((10, 1, None)).assign(high=12.5).itertuples())
    assert summary.ours_text(row) == "10.00 [9.00, 12.50]"


# Charts and marks


def test_interval_chart_holds_every_model_in_order(rows):
    table = rows((10, 1, 9), (None, None, 9), (12, None, None))
    spec = means.means(table, ELBO, dark=False).to_dict()
    values = next(iter(spec["datasets"].values()))
    assert [value["model"] for value in values] == ["a", "b", "c"]
    assert values[1]["label"] == "b  (no result: no finished run)"
    kinds = [layer["mark"]["type"] for layer in spec["layer"]]
    assert kinds == ["text", "rule", "point", "point"]
    titles = {layer["encoding"]["x"]["title"] for layer in spec["layer"][1:]}
    assert titles == {"Negative ELBO, nats per image (lower is better)"}
    assert spec["layer"][3]["mark"]["shape"] == theme.PAPER_SHAPE
    assert spec["layer"][3]["mark"]["filled"] is False


def test_curve_leaves_out_what_is_not_finite():
    history = pd.DataFrame({"epoch": [1, 2, 3], "weight_kl": [5.0, math.inf, math.nan]})
    spec = curves.curve(history, "weight_kl", "vanilla", dark=False).to_dict()
    assert list(spec["datasets"].values()) == [[{"epoch": 1, "weight_kl": 5.0}]]
    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [1, 3]
    assert spec["layer"][0]["encoding"]["y"]["title"] == "nats"
    message = curves.curve_message(history, "weight_kl")
    assert message == "Weight KL goes from 5.00 in epoch 1 to 5.00 nats in epoch 1."


@pytest.mark.parametrize("dark", [False, True])
def test_marks_differ_in_shape_or_colour_and_leave_the_papers_alone(dark):
    names = [f"model-{i}" for i in range(56)]
    marks = theme.marks(names, dark)
    assert len(set(marks.values())) == 56
    assert theme.PAPER_SHAPE not in {mark.shape for mark in marks.values()}
    assert len({theme.marks(MODELS, dark)[name].colour for name in MODELS}) == 8
    assert theme.marks(MODELS, dark) == theme.marks(MODELS, dark)


@pytest.mark.parametrize("dark", [False, True])
def test_a_model_looks_the_same_in_every_study(dark):
    everywhere = theme.marks(OPTIONS, dark)
    for name in OPTIONS:
        assert theme.marks([name], dark) == {name: everywhere[name]}
        assert theme.marks([name, "unknown"], dark)[name] == everywhere[name]
    assert theme.marks(list(OPTIONS)[::-1], dark) == everywhere
    lines = {(mark.colour, mark.dash) for mark in everywhere.values()}
    assert len(lines) == len(OPTIONS)


def test_without_models_yaml_names_give_the_order(tmp_path):
    assert theme.models_in_file(tmp_path / "models.yaml") == ()
    (tmp_path / "damaged.yaml").write_text("a: [")
    assert theme.models_in_file(tmp_path / "damaged.yaml") == ()
    assert theme.models_in_file(theme.MODELS_FILE) == tuple(OPTIONS)


@pytest.mark.parametrize(
    ("colours", "background", "outline"),
    [
        (theme.LIGHT, "#FFFFFF", theme.Ink(dark=False).outline),
        (theme.DARK, "#12151A", None),
    ],
)
def test_marks_are_seen_on_their_background(colours, background, outline):
    """3:1 (WCAG 1.4.11), by the mark itself or by its outline."""
    for colour in colours:
        seen = [contrast(c, background) for c in (colour, outline) if c]
        assert max(seen) >= 3, colour


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# Text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.004, "0.00"), (-0.004, "0.00"), (0.006, "+0.01"), (-0.006, "\u22120.01")],
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(value, words):
    assert text.signed(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3540, "59 min"),
        (3599, "1 h"),
        (12_000, "3 h 20 min"),
        (86_399, "1 d"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_are_short(seconds, words):
    assert text.duration(seconds) == words


def test_a_download_holds_what_is_drawn(tmp_path):
    write_results(tmp_path, models=FEW, epochs=4)
    history = runs.load_history(runs.load_index(tmp_path).runs[0])
    chart = curves.curve(history, "latent_kl", "vanilla", dark=False)
    table = pd.read_csv(io.BytesIO(table_behind(chart)))
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["latent_kl"].tolist() == history["latent_kl"].tolist()
