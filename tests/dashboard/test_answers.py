"""The pages that answer the study's questions: Overview, Claims, Gaps, Compare."""

import math

import pandas as pd
import pytest

from comvae.results.report import write_report
from comvae.study.plan import Plan
from tests.dashboard.studies import FEW, edit, edit_json, write_study
from tests.dashboard.visitor import (
    buttons,
    charts,
    follow,
    frame,
    headers,
    show,
    sortable,
    table,
    text,
    warned,
)
from tests.results.written import GAP_IMAGES
from tests.support import study_in

ANSWERS = ["overview", "claims", "gaps", "compare"]
T_3_SEEDS = 4.30265  # 97.5% quantile of Student's t with two degrees of freedom


# All results


def test_overview_answers_the_three_questions(whole):
    app = show("overview")
    words = text(app)
    assert "Study: test" in words
    assert headers(app)[2:4] == ["Compound, mixture prior", "Yes"]
    assert headers(app)[4] == "+0.60 of +1.00 nats"
    # place 0 and 2: 25.7 and 25.1 nats; per place the gap narrows by 0.2, of which
    # drawing the weights costs 0.1
    assert "weights at their means, and drawing them \u22120.20" in words
    assert "gains +1.00 [+1.00, +1.00] nats per image" in words
    assert "Of 9 claims of the paper: holds here 4, not run 5." in words
    assert headers(app)[5] == "1 times the parameters, 1 times the time"
    assert not app.warning and not charts(app)
    pictures = [image for element in app.image for image in element.proto.imgs]
    assert len(pictures) == 9, "an interval beside each claim"
    assert app.query_params == {}


def test_overview_explains_the_model_of_its_headline(whole):
    """Though another one is better than the paper's own."""

    def swap(rows):
        names = {FEW[1]: FEW[2], FEW[2]: FEW[1]}
        return rows.assign(model=rows["model"].replace(names))

    for name in ("runs", "attribution", "gaps"):
        edit(whole, name, swap)
    app = show("overview")
    said, _, best, real, part, *_ = headers(app)
    assert best == "Simplified, mixture prior" and real == "Yes"
    assert "the compound VAE explains test images 0.50 ± 0.00" in said
    assert part.endswith(" of +0.50 nats")
    assert "Compound, mixture prior gains +0.50" in text(app)


def test_the_first_sentence_is_that_of_the_report(whole):
    report = write_report(whole, Plan.read(whole))["table1"].read_text("utf-8")
    [said, *_] = headers(show("overview"))
    assert said == report.split("\n\n")[1]
    assert said.startswith("On digits, the compound VAE explains test images 1.00")


def test_overview_ranks_the_models(whole):
    app = show("overview")
    shown = app.dataframe[0].value
    assert list(shown["Rank"]) == [1, 2, 3]
    assert list(shown["Negative ELBO"]) == sorted(shown["Negative ELBO"])
    reference = shown.set_index("Model").loc["Vanilla VAE"]
    assert reference["Gain"] == 0 and reference["Beside vanilla"] == "the reference"
    best = shown.set_index("Model").loc["Compound, mixture prior"]
    parts = best[["model", "approx.", "amort.", "noise"]]
    assert parts.sum() == pytest.approx(best["Gain"]) == pytest.approx(1.0)
    assert best["Beside vanilla"] == "better"
    assert shown["Its parts"].str.startswith("data:image/svg").all()
    assert "digits, 8 x 8 pixels, 3 seeds, 3 epochs, commit synthet" in text(app)


def test_models_that_cannot_be_told_apart_share_a_rank(whole):
    def mix(runs):
        noise = runs["seed"].map({0: -2.0, 1: 3.0, 2: 0.0})
        return runs.assign(
            elbo=runs["elbo"] + 2 * noise * runs["model"].eq("compound-mixture")
        )

    edit(whole, "runs", mix)
    shown = show("overview").dataframe[0].value.set_index("Model")["Rank"]
    assert shown["Compound, mixture prior"] == shown["Simplified, mixture prior"] == 1
    assert shown["Vanilla VAE"] == 2


def test_overview_calls_no_winner_inside_the_noise(whole):

    def mix(runs):
        noise = runs["seed"].map({0: -2.0, 1: 3.0, 2: 0.0})
        best = runs["model"].eq("compound-mixture")
        for term in ("negative_elbo", "elbo", "amortization_gap"):
            runs[term] += noise * best
        return runs

    edit(whole, "runs", mix)
    app = show("overview")
    assert headers(app)[2] == "No single winner"
    assert "cannot be told apart from" in text(app)


def test_overview_says_that_one_seed_shows_nothing(results):
    lost = [("digits", model, 1) for model in FEW]
    write_study(results, seeds=(0, 1), failed=lost)
    app = show("overview")
    assert headers(app)[2:4] == ["No single winner", "Not shown"]
    assert "One seed has no interval" in text(app)


def test_claims_shows_effects_verdicts_and_the_rule(whole):
    app = show("claims")
    shown = table(app, 1).set_index("Claim")
    row = shown.loc["simplified mixture beats vanilla"]
    assert row["Effect"] == "+0.30 [+0.30, +0.30]"
    assert row["Effect is"] == "Negative ELBO: vanilla - simplified-mixture on test"
    assert row["Verdict"] == "holds here" and row["Seeds"] == "3"
    assert row["p"] == row["p, Holm"] == "<0.001"
    assert shown.loc["batch norm needed", "Verdict"] == "not run"
    assert "How a verdict is reached" in text(app)
    rules = dict(table(app).itertuples(index=False))
    assert rules["Supported, holds here"].startswith("the whole interval lies above")
    assert "On digits this study departs from the paper, in brackets: dataset" in text(
        app
    )
    assert len(charts(app)) == 1 and "claims.csv" in buttons(app)


def test_gaps_takes_the_elbo_apart(whole):
    app = show("gaps")
    assert len(charts(app)) == 3
    assert "log p(x) is right within" not in text(app), "nothing certifies it here"
    saved = ["stack-gaps", "attribution", "spread-amortization-gap", "gaps"]
    assert {f"{name}.csv" for name in saved} <= set(buttons(app))
    assert {"gains.svg", "gains.png"} <= set(buttons(app))
    stack = frame(charts(app)[0], "start")
    vanilla = stack[stack["model"] == "vanilla"].set_index("part")
    widths = vanilla["start"] - vanilla["stop"]
    images = sum(GAP_IMAGES) / len(GAP_IMAGES)
    assert widths["weight_noise_gap"] == 0
    assert widths["amortization_gap_mean_weights"] == pytest.approx(2 + 0.1 * images)
    assert widths["approximation_gap"] == pytest.approx(1.51)
    for _, bars in stack.groupby("model"):  # the parts join, from the ELBO to log p(x)
        joints = bars["start"].tolist()[1:]
        assert bars["stop"].tolist() == pytest.approx([*joints, 0.0])
        assert bars["start"].iloc[0] == pytest.approx(bars["elbo"].iloc[0])
    quantiles, bounds = sortable(app), table(app)
    assert float(quantiles["Mean"].iloc[0]) == pytest.approx(2.7)
    assert bounds.iloc[0]["ELBO, mean weights"] == "\u221226.48 ± 0.20"


def test_gaps_alone_have_no_gain_to_take_apart(whole):
    app = show("gaps", models="vanilla", split="train")
    assert set(frame(charts(app)[0], "start")["model"]) == {"vanilla"}
    assert "There is no gain over vanilla to take apart" in text(app)


def test_gaps_follows_the_models_that_were_chosen_on_another_page(whole):
    app = show("compare")
    follow(app, "gaps")
    shown = app.multiselect(key="models")
    assert shown.value == list(FEW) and "models" not in app.query_params
    follow(app, "compare")
    app.multiselect(key="models").set_value(["compound-mixture", "vanilla"]).run()
    follow(app, "gaps")
    drawn = frame(charts(app)[0], "start")["model"]
    assert set(drawn) == {"compound-mixture", "vanilla"}


def test_gaps_puts_the_best_first(whole):
    app = show("gaps")
    order = ["compound-mixture", "simplified-mixture", "vanilla"]
    assert list(dict.fromkeys(frame(charts(app)[0], "start")["model"])) == order
    gains = frame(charts(app)[1], "effect")
    assert list(dict.fromkeys(gains["model"])) == order[:2]
    assert "Compound, mixture prior gains most over vanilla: +1.00" in text(app)


def test_gaps_says_how_far_log_px_may_be_off(whole):
    def certify(gaps):
        cells = gaps[gaps["quantity"] == "elbo"]
        ends = {"mean": -0.01, "ci_low": -0.04, "ci_high": 0.02}
        wide = cells["model"].eq("simplified-mixture") * 2 + 1
        cells = cells.assign(quantity="certificate").drop(columns=list(ends))
        return pd.concat([gaps, cells.assign(**{k: v * wide for k, v in ends.items()})])

    edit(whole, "gaps", certify)
    words = text(show("gaps"))
    assert "log p(x) is right within 0.120 nats per image, Simplified, mixture" in words
    one = text(show("gaps", models="vanilla"))
    assert "log p(x) is right within 0.040 nats" in one


def test_compare_pairs_by_seed(whole):
    edit(
        whole,
        "runs",
        lambda runs: runs.assign(
            negative_elbo=runs["negative_elbo"]
            + runs["seed"] * runs["model"].eq("compound-mixture")
        ),
    )
    app = show("compare", models="vanilla,compound-mixture", quantity="negative_elbo")
    row = sortable(app).iloc[0]
    # the gains of the seeds are 0.6 - seed: mean -0.4, std 1
    half = T_3_SEEDS / math.sqrt(3)
    shown = f"{-0.4:+.2f} [{-0.4 - half:+.2f}, {-0.4 + half:+.2f}]"
    assert row["Gain"] == shown.replace("-", "\u2212")
    assert row["Which is"] == "inside the noise"
    assert len(charts(app)) == 3
    ticks = frame(charts(app)[1], "seed_0").iloc[0]
    assert ticks[["seed_0", "seed_1", "seed_2"]].tolist() == pytest.approx(
        [0.6, -0.4, -1.4]
    )


def test_compare_draws_seeds_and_images(whole):
    app = show("compare")
    assert len(charts(app)) == 4  # curves, differences, two scatters
    curves = frame(charts(app)[0], "value").groupby(["model", "epoch"])["value"]
    assert (curves.max() - curves.min()).to_numpy() == pytest.approx(0.14)
    images = frame(charts(app)[2], "second")
    assert images["image"].tolist() == list(GAP_IMAGES)
    assert (images["first"] - images["second"]).to_numpy() == pytest.approx(0.2)
    assert "wider gap on 0% of 8 test images" in text(app)
    saved = ["curves-negative-elbo.png", "differences-elbo.csv"]
    assert set(buttons(app)) >= {
        *saved,
        "paired-differences-of-2-models-to-vanilla-vae.tex",
    }


# State in the URL


def test_the_order_of_models_is_in_the_url(whole):
    app = show("compare", models="compound-mixture,vanilla")
    assert app.multiselect(key="models").value == ["compound-mixture", "vanilla"]
    assert "ELBO beside Compound, mixture prior: 1 worse." in text(app)
    assert sortable(app)["Model"].tolist() == ["Vanilla VAE"]
    app.multiselect(key="models").set_value(["vanilla", "simplified-mixture"]).run()
    assert not app.exception
    assert app.query_params["models"] == "vanilla,simplified-mixture"
    app.query_params["models"] = "compound-mixture,vanilla"  # the browser's Back
    app.run()
    assert app.multiselect(key="models").value == ["compound-mixture", "vanilla"]


@pytest.mark.parametrize("path", ANSWERS)
def test_unknown_choices_fall_back(results, path):
    write_study(results, models=FEW[:2], seeds=(0, 1), datasets=("digits", "mnist"))
    app = show(path, dataset="x", split="<b>", metric="", gap="?", show="", term="*")
    assert charts(app) or path == "overview"
    assert app.query_params["dataset"] == "digits"


# Partial, failed and damaged results


@pytest.mark.parametrize("path", ANSWERS)
def test_failed_blocks(results, path):
    lost = [("digits", "compound-mixture", seed) for seed in range(3)]
    write_study(results, failed=[*lost, ("digits", "simplified-mixture", 1)])
    app = show(path)
    words = text(app)
    expected = {
        "overview": "5 of 9 runs finished, 4 failed",
        "claims": "not run",
        "gaps": "Not measured, or no run finished: Compound, mixture prior",
        "compare": "No seed in common with the first model here: Compound, mixture",
    }
    assert expected[path] in words and (charts(app) or path == "overview")


def test_a_study_that_measures_no_gaps_says_so(whole):
    edit_json(study_in(whole) / "study.json", gap_images=0)
    assert "This study measures no gaps" in text(show("gaps"))
    assert "This study measures no gaps" in text(show("overview"))


@pytest.mark.parametrize("name", ["gaps.parquet", "history.csv"])
def test_compare_names_a_damaged_block(whole, name):
    path = next(whole.glob(f"*/digits/compound-mixture/*/*/{name}"))
    path.write_bytes(b"no such table")
    app = show("compare")
    assert [name in warning for warning in warned(app)] == [True]
    assert len(charts(app)) >= 3


def test_ends_of_the_scale_are_no_rivals(results):
    models = ("vanilla", "compound-mixture", "vanilla-optimal-encoder")
    write_study(results, models=models)
    app = show("overview")
    assert headers(app)[2] == "Compound, mixture prior"
    assert "Not among the rivals" in text(app)
    names = app.dataframe[0].value["Model"]
    assert set(names) == {"Vanilla VAE", "Compound, mixture prior"}
    assert app.get("page_link")
    shown = show("gaps").multiselect(key="models").value
    assert shown == ["vanilla", "compound-mixture"]
