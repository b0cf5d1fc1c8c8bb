"""What the pages are made of: summaries, charts, marks, numbers as text."""

import base64
import io
import math
import re
from functools import partial

import pandas as pd
import pytest

from comvae.results import index as runs
from dashboard import summary, text, theme
from dashboard.charts import curves, effects, means, parts
from dashboard.elements import Chart, SortableTable
from dashboard.render import saved
from dashboard.study import load_study
from tests.dashboard.studies import FEW
from tests.results.written import MODELS, OPTIONS, write_results
from tests.support import study_in

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
        (study_in(tmp_path) / "tables").mkdir(parents=True, exist_ok=True)
        table.to_csv(study_in(tmp_path) / "tables" / "table1.csv", index=False)
        (study_in(tmp_path) / "study.json").write_text('{"models": {"a": "Model A"}}')
        study = load_study(tmp_path)
        return summary.metric_rows(study, "digits", "test", metric)

    return write


# Summaries


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([(None,) * 3], "No model has a finished run with a negative ELBO here."),
        ([(3, 1, None)], "Model A has a negative ELBO of 3.00 nats per image."),
        (
            [(10, 1, None), (11.5, 1, None), (20, 1, None)],
            "The negative ELBO runs from 10.00 nats per image (Model A) to 20.00 nats "
            "per image (c). Compare tells which differences are real.",
        ),
        ([(10, None, None), (15, 1, None)], "nothing tells how sure the order is."),
        ([(10, 1, None), (15, None, None)], "nothing tells how sure the order is."),
    ],
)
def test_finding_calls_nothing_better_by_its_interval(rows, values, says):
    assert summary.finding(rows(*values), ELBO).endswith(says)


def test_finding_calls_no_latent_kl_better(rows):
    table = rows((1, 0.1, None), (2, 0.1, None), metric="latent_kl")
    assert "real" not in summary.finding(table, "latent_kl")


def test_difference_is_ours_minus_the_papers(rows):
    table = rows((10, 1, 12), (10, 1, None))
    assert table["difference"].iloc[0] == -2
    assert math.isnan(table["difference"].iloc[1])


# Charts and marks


def test_interval_chart_holds_every_model_in_order(rows):
    table = rows((10, 1, 9), (None, None, 9), (12, None, None))
    spec = means.means(table, ELBO, dark=False).to_dict()
    [values, *_] = spec["datasets"].values()
    assert [value["model"] for value in values] == ["a", "b", "c"]
    assert values[1]["label"] == "b  (no result: no finished run)"
    [*_, ours, paper] = spec["layer"]
    assert ours["encoding"]["x"]["field"] == "mean"
    title = "Negative ELBO, nats per image (lower is better)"
    assert ours["encoding"]["x"]["title"] == title
    assert paper["encoding"]["x"]["field"] == "paper"
    assert paper["mark"]["shape"] == theme.PAPER_SHAPE
    assert ours["mark"]["filled"] and not paper["mark"]["filled"]


def test_curves_leave_out_what_is_not_finite():
    values = [5.0, math.inf, math.nan]
    history = pd.DataFrame({"epoch": [1, 2, 3], "seed": 0, "weight_kl": values})
    rows = curves.by_seed([("a", "a", "A", history)], "weight_kl")
    assert rows["value"].tolist() == [5.0]
    assert curves.message(rows, "weight_kl") == "Weight KL of A is 5.00 after epoch 1."


def test_lines_are_of_seeds_and_end_at_the_lowest_and_the_highest():
    history = pd.DataFrame(
        {"epoch": [1, 1, 2, 2], "seed": [0, 1] * 2, "latent_kl": [5.0, 7.0, 1.0, 2.0]}
    )
    low = curves.by_seed([("a", "a", "A", history)], "latent_kl")
    assert low["value"].tolist() == history["latent_kl"].tolist()
    high = low.assign(line="b", title="B", value=low["value"] + 1)
    best, worst, count = curves.ends(pd.concat([high, low]))
    assert (best.name, best["mean"], worst.name, count) == ("a", 1.5, "b", 2)


@pytest.mark.parametrize(
    ("least", "log", "kind"), [(1, False, None), (1, True, "log"), (0, True, None)]
)
def test_curves_have_the_range_of_their_last_epochs(least, log, kind):
    epochs = range(1, 12)
    values = [1000.0, 500.0, *range(least + 8, least - 1, -1)]
    history = pd.DataFrame({"epoch": epochs, "seed": 0, "latent_kl": values})
    rows = curves.by_seed([("a", "a", "A", history)], "latent_kl")
    spec = curves.lines(rows, "latent_kl", dark=False, log=log).to_dict()
    scale = spec["layer"][0]["encoding"]["y"]["scale"]
    low, high = scale["domain"]
    assert low <= least and least + 8 <= high < 12 and scale.get("type") == kind
    assert {param["name"] for param in spec["params"]} == {"picked", "zoom", "near"}


def test_bars_share_a_scale_around_zero():
    drawn = parts.bars({"a": [1.0, 0.0, -1.0, 0.0], "b": [0.0, -2.0, -1.0, 0.0]})
    ends = {}
    for name, address in drawn.items():
        svg = base64.b64decode(address.partition(",")[2]).decode()
        shown = re.findall(r'x="([\d.]+)" y="5" width="([\d.]+)"', svg)
        places = [(float(x), float(x) + float(w)) for x, w in shown if float(w)]
        ends[name] = places
    nat = (parts.WIDTH - 2) / 4  # from -3 to +1
    zero = 1 + 3 * nat
    assert ends["a"] == [(zero, zero + nat), (zero - nat, zero)]
    assert ends["b"] == [(zero - 2 * nat, zero), (1, zero - 2 * nat)]


def test_effects_stand_below_the_name_of_their_group():
    found = {"effect": 1.0, "ci_low": 0.5, "ci_high": 1.5}
    rows = [
        effects.effect_row(g, g, "vanilla", found, part) for g in "ab" for part in "xy"
    ]
    rows[0]["seed_0"] = 1.0
    spec = effects.effects(pd.DataFrame(rows), dark=False, x_title="").to_dict()
    lines = spec["layer"][1]["encoding"]["y"]["scale"]["domain"]
    assert lines == ["|a", "x|a", "y|a", "|b", "x|b", "y|b"]
    drawn = [
        row["row"] for each in spec["datasets"].values() for row in each if "row" in row
    ]
    assert sorted(drawn) == sorted(lines)
    assert spec["layer"][-1]["transform"] == [
        {"fold": ["seed_0"], "as": ["seed", "value"]}
    ]


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


@pytest.mark.parametrize("dark", [False, True])
def test_marks_are_seen_on_their_background(dark):
    """3:1 (WCAG 1.4.11), by the mark itself or by its outline."""
    ink = theme.Ink(dark)
    for colour in theme.DARK if dark else theme.LIGHT:
        lights = [luminance(seen) for seen in (colour, ink.outline)]
        paper = luminance(ink.paper)
        ends = [sorted([light + 0.05, paper + 0.05]) for light in lights]
        assert max(high / low for low, high in ends) >= 3, colour


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# Text


@pytest.mark.parametrize(
    ("write", "value", "words"),
    [
        (text.signed, (0.004,), "0.00"),
        (text.signed, (-0.004,), "0.00"),
        (text.signed, (0.006,), "+0.01"),
        (text.signed, (-0.006,), "\u22120.01"),
        (text.with_interval, (10, 9, 11), "10.00\u00a0±\u00a01.00"),
        (text.with_interval, (10, 9, 12.5), "10.00 [9.00, 12.50]"),
        (text.with_interval, (10, math.nan, math.nan), "10.00 (no interval)"),
        (text.effect_text, (0.4, -0.1, 0.9), "+0.40 [\u22120.10, +0.90]"),
        (text.duration, (0.4,), "0 s"),
        (text.duration, (59.4,), "59 s"),
        (text.duration, (59.6,), "1 min"),
        (text.duration, (3540,), "59 min"),
        (text.duration, (3599,), "1 h"),
        (text.duration, (12_000,), "3 h 20 min"),
        (text.duration, (86_399,), "1 d"),
        (text.duration, (187_200,), "2 d 4 h"),
    ],
)
def test_numbers_are_short_and_say_no_more_than_they_know(write, value, words):
    assert write(*value) == words


def test_a_table_of_values_is_text_too():
    rows = pd.DataFrame({"nats": [1234.5, math.nan], "device": ["cpu", None]})
    table = SortableTable(rows, "Two runs.", {"nats": ",.2f"}).as_text()
    assert table.to_numpy().tolist() == [["1,234.50", "cpu"], [text.NOTHING] * 2]


def test_a_chart_is_saved_with_what_is_drawn_and_its_caption(tmp_path):
    write_results(tmp_path, models=FEW, epochs=4)
    history = runs.load_history(runs.load_index(tmp_path).runs[0])
    rows = curves.by_seed([("a", "a", "A", history)], "latent_kl")
    chart = Chart("curve", partial(curves.lines, rows, "latent_kl"), "It falls.")
    files = saved.of_chart(chart, chart.draw(False))
    table = pd.read_csv(io.BytesIO(files["csv"]()))
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["value"].tolist() == history["latent_kl"].tolist()
    assert b"It falls." in files["svg"]() and files["png"]().startswith(b"\x89PNG")


def test_a_table_is_saved_as_it_is_read():
    rows = pd.DataFrame({"Model": ["A & B", "C"], "nats": [-1.5, math.nan]})
    texts = {"nats": ["\u22121.50\u00a0±\u00a00.10 \u2605", text.NOTHING]}
    files = saved.of_table(SortableTable(rows, "Two models.", {}, texts))
    assert files["csv"]().decode() == "Model,nats\nA & B,-1.50 ± 0.10\nC,\u2013\n"
    assert "| A & B | **-1.50 ± 0.10** |" in files["md"]().decode()
    latex = files["tex"]().decode()
    assert r"A \& B & \textbf{$-$1.50 $\pm$ 0.10}" in latex and "Two models." in latex
