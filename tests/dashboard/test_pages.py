"""The pages that answer the study's questions: Overview, Claims, Gaps, Compare."""

import json
import math
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from comvae.results.tables import write_tables
from comvae.study.plan import Block, Plan
from tests.dashboard.test_dashboard import (
    FEW,
    charts,
    own_main_module,
    results,
    show,
    table,
    text,
)
from tests.results.written import GAP_IMAGES, OPTIONS, value, write_results

__all__ = ["own_main_module", "results"]  # fixtures
NEW = ("overview", "claims", "gaps", "compare")
TABLES = {
    "overview": "runs",
    "claims": "claims",
    "gaps": "gaps",
    "compare": "runs",
}
STUDIES = {}
T_3_SEEDS = 4.30265  # 97.5% quantile of Student's t with two degrees of freedom


@pytest.fixture
def whole(results):
    """The folder of results, with all that a study writes."""
    return write_study(results)


def write_study(root, **what):
    """Synthetic results with every table that `comvae tables` writes.

    They are written once for all tests that ask for the same, and then copied.
    """
    key = repr(sorted(what.items()))
    if key not in STUDIES:
        STUDIES[key] = tempfile.TemporaryDirectory()
        _write_study(Path(STUDIES[key].name), **what)
    return shutil.copytree(STUDIES[key].name, root)


def _write_study(root, *, models=FEW, seeds=(0, 1, 2), datasets=("digits",), **what):
    """Synthetic results with every table that `comvae tables` writes."""
    what = {"epochs": 3, **what}
    write_results(
        root, models=models, seeds=seeds, datasets=datasets, tables=False, **what
    )
    titles = {model: OPTIONS[model].title for model in models}
    blocks = [Block(d, m, tuple(seeds)) for d in datasets for m in models]
    plan = Plan("test", list(datasets), titles, blocks, None, len(GAP_IMAGES))
    study = {"study": "test", "models": titles, "gap_images": len(GAP_IMAGES)}
    (root / "study.json").write_text(json.dumps(study))
    write_tables(root, plan)
    return root


def edit(root, name, change):
    """Change a table on disk."""
    path = root / "tables" / f"{name}.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def frames(chart):
    """The tables that a chart draws."""
    return [pa.ipc.open_stream(d.data.data).read_pandas() for d in chart.proto.datasets]


def answers(app):
    """The headers of a page, on the first page the answers, without escapes."""
    return [header.value.replace("\\", "") for header in app.header]


def buttons(app):
    return [button.label for button in app.get("download_button")]


# All results


def test_overview_answers_the_three_questions(whole):
    app = show("overview")
    words = text(app)
    assert "Study: test" in words
    assert answers(app)[:2] == ["Compound, mixture prior", "Yes"]
    assert answers(app)[2] == "+0.40 of +1.00 nats"
    # place 0 and 2: 25.7 and 25.1 nats; the gap narrows by 0.2 per place
    gain = value(0, 0, "negative_elbo", "test") - value(2, 0, "negative_elbo", "test")
    assert gain == pytest.approx(0.6)
    assert "gains +0.60 [+0.60, +0.60] nats per image" in words
    assert "Of 9 claims on digits" in words
    assert not app.warning and len(charts(app)) == 1
    assert app.query_params == {}


def test_overview_calls_no_winner_inside_the_noise(whole):

    def mix(runs):
        noise = runs["seed"].map({0: -2.0, 1: 3.0, 2: 0.0})
        best = runs["model"].eq("compound-mixture")
        for term in ("negative_elbo", "elbo", "amortization_gap"):
            runs[term] += noise * best
        return runs

    edit(whole, "runs", mix)
    app = show("overview")
    assert answers(app)[0] == "No single winner"
    assert "cannot be told apart from" in text(app)


def test_overview_says_that_one_seed_shows_nothing(results):
    lost = [("digits", model, 1) for model in FEW]
    write_study(results, seeds=(0, 1), failed=lost)
    app = show("overview")
    assert answers(app)[:2] == ["No single winner", "Not shown"]
    assert "One seed has no interval" in text(app)


def test_claims_shows_effects_verdicts_and_the_rule(whole):
    app = show("claims")
    shown = table(app).set_index("Claim")
    row = shown.loc["simplified mixture beats vanilla"]
    assert row["Effect"] == "+0.30 [+0.30, +0.30]"
    assert row["Effect is"] == "Negative ELBO: vanilla - simplified-mixture on test"
    assert row["Verdict"] == "supported" and row["Seeds"] == "3"
    assert shown.loc["batch norm needed", "Verdict"] == "not run"
    assert "How a verdict is reached" in text(app)
    assert "the whole interval lies above the bar" in text(app)
    assert len(charts(app)) == 1 and buttons(app) == ["Download claims.csv"]


def test_gaps_takes_the_elbo_apart(whole):
    app = show("gaps")
    assert len(charts(app)) == 3
    assert buttons(app) == [
        *("Download stack-gaps.csv", "Download attribution.csv"),
        *("Download spread-amortization-gap.csv", "Download gaps.csv"),
    ]
    stack = next(f for f in frames(charts(app)[0]) if "start" in f)
    widths = (stack["start"] - stack["stop"]).groupby(stack["part"]).first()
    images = sum(GAP_IMAGES) / len(GAP_IMAGES)
    assert widths["amortization_gap"] == pytest.approx(2 + 0.1 * images)
    assert widths["approximation_gap"] == pytest.approx(1.51)
    for _, bars in stack.groupby("model"):  # the parts join, from the ELBO to log p(x)
        assert bars["stop"].iloc[0] == pytest.approx(bars["start"].iloc[1])
        assert bars["start"].iloc[0] == pytest.approx(bars["elbo"].iloc[0])
    quantiles, bounds = table(app), table(app, 1)
    assert quantiles["Mean"].iloc[0] == "2.70"
    assert bounds.iloc[0]["weights at their means"] == "\u221226.38 ± 0.20"


def test_gaps_levels_end_at_log_px(whole):
    app = show("gaps", show="levels", shown="vanilla", split="train")
    stack = next(f for f in frames(charts(app)[0]) if "start" in f)
    assert set(stack["model"]) == {"vanilla"}
    gaps = pd.read_csv(whole / "tables" / "gaps.csv").set_index(
        ["model", "split", "quantity"]
    )["mean"]
    assert stack["start"].min() == pytest.approx(gaps["vanilla", "train", "elbo"])
    assert stack["stop"].max() == pytest.approx(gaps["vanilla", "train", "log_px"])
    assert "There is no gain over vanilla to take apart" in text(app)


def test_compare_pairs_by_seed(whole):
    edit(
        whole,
        "runs",
        lambda runs: runs.assign(
            negative_elbo=runs["negative_elbo"]
            + runs["seed"] * runs["model"].eq("compound-mixture")
        ),
    )
    app = show("compare", models="vanilla,compound-mixture")
    row = table(app).iloc[0]
    # the seeds differ by -0.6 + seed: mean 0.4, std 1
    half = T_3_SEEDS / math.sqrt(3)
    low, high = f"{0.4 - half:+.2f}".replace("-", "\u2212"), f"{0.4 + half:+.2f}"
    assert row.iloc[1] == f"+0.40 [{low}, {high}]"
    assert row["Which is"] == "inside the noise"
    assert len(charts(app)) == 3
    ticks = next(f for f in frames(charts(app)[1]) if "value" in f)
    assert ticks["value"].tolist() == pytest.approx([-0.6, 0.4, 1.4])


def test_compare_draws_bands_and_images(whole):
    app = show("compare")
    assert len(charts(app)) == 4  # curves, differences, two scatters
    curves = next(f for f in frames(charts(app)[0]) if "least" in f)
    assert (curves["most"] - curves["least"]).to_numpy() == pytest.approx(0.14)
    images = next(f for f in frames(charts(app)[2]) if "second" in f)
    assert images["image"].tolist() == list(GAP_IMAGES)
    assert (images["first"] - images["second"]).to_numpy() == pytest.approx(0.2)
    assert "wider gap on 0% of 8 test images" in text(app)
    assert buttons(app) == [
        *("Download curves.csv", "Download differences.csv"),
        "Download image-gaps.csv",
    ]


def test_every_chart_of_every_page_says_its_message(whole):
    for page in NEW:
        app = show(page)
        alts = [chart.proto.alt for chart in charts(app)]
        assert alts and all(len(alt) > 30 and alt.endswith(".") for alt in alts), page
        for message in alts:
            assert message in text(app) or page == "overview"
        assert sum("How to read it" in c.value for c in app.caption) >= 1


# State in the URL


def test_the_order_of_models_is_in_the_url(whole):
    app = show("compare", models="compound-mixture,vanilla")
    assert app.multiselect(key="models").value == ["compound-mixture", "vanilla"]
    assert "Vanilla VAE − Compound, mixture prior" in table(app).iloc[0]["Difference"]  # noqa: RUF001
    app.multiselect(key="models").set_value(["vanilla", "simplified-mixture"]).run()
    assert not app.exception
    assert app.query_params["models"] == "vanilla,simplified-mixture"
    app.query_params["models"] = "compound-mixture,vanilla"  # the browser's Back
    app.run()
    assert app.multiselect(key="models").value == ["compound-mixture", "vanilla"]


def test_compare_asks_for_two_models(whole):
    app = show("compare", models="vanilla")
    assert "Choose at least two models" in text(app) and not charts(app)
    app = show("compare", models="<b>,no-such")
    assert app.multiselect(key="models").value == list(FEW)


@pytest.mark.parametrize("page", NEW)
def test_unknown_choices_fall_back(results, page):
    write_study(results, models=FEW[:2], seeds=(0, 1), datasets=("digits", "mnist"))
    app = show(page, dataset="x", split="<b>", metric="", gap="?", show="", term="*")
    assert charts(app)
    assert app.query_params["dataset"] == "digits"


# Partial, failed and damaged results


@pytest.mark.parametrize("page", NEW)
def test_one_finished_block(results, page):
    write_study(results, missing=[("digits", m) for m in FEW if m != "vanilla"])
    words = text(show(page))
    expected = {
        "overview": "Only vanilla has a finished run",
        "claims": "No claim has a finished seed yet",
        "gaps": "no other model has a seed whose gaps are measured",
        "compare": "No seed in common with the first model here",
    }
    assert expected[page] in words


@pytest.mark.parametrize("page", NEW)
def test_failed_blocks(results, page):
    lost = [("digits", "compound-mixture", seed) for seed in range(3)]
    write_study(results, failed=[*lost, ("digits", "simplified-mixture", 1)])
    app = show(page)
    words = text(app)
    expected = {
        "overview": "5 of 9 runs finished, 4 failed",
        "claims": "not run",
        "gaps": "Not measured, or no run finished: Compound, mixture prior",
        "compare": "No seed in common with the first model here: Compound, mixture",
    }
    if page == "overview":
        words += app.get("progress")[0].proto.text.replace("\\", "")
    assert expected[page] in words and charts(app)


@pytest.mark.parametrize("page", NEW)
def test_nothing_finished(results, page):
    write_study(results, missing=[("digits", model) for model in FEW])
    app = show(page)
    assert not charts(app) and text(app)


@pytest.mark.parametrize("page", NEW)
def test_without_gaps(results, page):
    write_study(results, not_measured=[("digits", model) for model in FEW])
    app = show(page)
    expected = {
        "overview": "Not measured",
        "claims": "not run",
        "gaps": "Not measured, or no run finished",
        "compare": "their gaps are not measured yet",
    }
    assert expected[page] in text(app)


def test_a_study_that_measures_no_gaps_says_so(whole):
    study = json.loads((whole / "study.json").read_text())
    (whole / "study.json").write_text(json.dumps(study | {"gap_images": 0}))
    assert "This study measures no gaps" in text(show("gaps"))
    assert "This study measures no gaps" in text(show("overview"))


@pytest.mark.parametrize("page", NEW)
def test_before_the_tables(results, page):
    write_results(results, models=FEW, tables=False)
    words = text(show(page))
    if page == "compare":
        assert "not there or damaged" in words
    else:
        assert f"tables/{TABLES[page]}.csv is not written yet" in words
        assert "9 of 9 runs are trained" in words


@pytest.mark.parametrize("damage", ["junk", "column", "gone"])
@pytest.mark.parametrize("page", NEW)
def test_a_damaged_table_is_named_and_the_others_work(whole, page, damage):
    name = f"tables/{TABLES[page]}.csv"
    if damage == "junk":
        (whole / name).write_bytes(b"not,a\ntable,at,all\n")
    elif damage == "column":
        edit(whole, TABLES[page], lambda rows: rows.drop(columns="dataset"))
    else:
        (whole / name).unlink()
    app = show(page)
    if damage == "gone":
        assert not app.warning
    else:
        assert "has no column `" in app.warning[0].value.replace("\\", "")
    assert name in text(app)
    if damage == "junk":
        assert charts(show("claims" if page != "claims" else "gaps"))


@pytest.mark.parametrize("name", ["gaps.parquet", "history.csv"])
def test_compare_names_a_damaged_block(whole, name):
    path = next(whole.glob(f"*/digits/compound-mixture/*/{name}"))
    path.write_bytes(b"no such table")
    app = show("compare")
    assert [name in warning.value.replace("\\", "") for warning in app.warning] == [
        True
    ]
    assert len(charts(app)) >= 3


def test_titles_of_the_study_are_never_markup(whole):
    evil = "<script>x</script> ![i](http://e) **b** $x$ :red[r]"
    path = whole / "study.json"
    path.write_text(path.read_text().replace("Compound, mixture prior", evil))
    for page in NEW:
        app = show(page)
        kinds = ("header", "markdown", "caption", "warning", "info")
        for element in [e for kind in kinds for e in getattr(app, kind)]:
            assert not getattr(element, "allow_html", False)
            for markup in ("<script", "![i", "**b", "$x", ":red["):
                at = element.value.find(markup)
                assert at < 0 or element.value[at - 1] == "\\"


def test_ends_of_the_scale_are_no_rivals(results):
    models = ("vanilla", "compound-mixture", "vanilla-optimal-encoder")
    write_study(results, models=models)
    app = show("overview")
    assert answers(app)[0] == "Compound, mixture prior"
    assert "Not among the rivals" in text(app)
    names = {
        name for f in frames(charts(app)[0]) if "title" in f for name in f["title"]
    }
    assert names == {"Vanilla VAE", "Compound, mixture prior"}
    assert app.get("page_link")
    shown = show("gaps").multiselect(key="shown").value
    assert shown == ["vanilla", "compound-mixture"]
