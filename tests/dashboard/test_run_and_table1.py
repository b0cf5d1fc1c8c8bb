"""Table 1 and the page of one run; choices in the address; what pages need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from dashboard import summary
from dashboard.render.streamlit import plain
from dashboard.study import load_study
from dashboard.text import NOTHING
from tests.dashboard.studies import EVIL, FEW
from tests.dashboard.visitor import (
    APP,
    charts,
    follow,
    frame,
    show,
    sortable,
    table,
    text,
    warned,
)
from tests.results.written import (
    MODELS,
    OPTIONS,
    block_of,
    config_of,
    evaluation_of,
    write_results,
)
from tests.support import ROOT


def test_table1_shows_every_model_in_order(results):
    write_results(results)
    app = show()
    shown = sortable(app)
    assert len(shown) == len(MODELS)
    assert shown["Model"].iloc[0] == "Vanilla VAE"
    terms = ["Reconstruction", "Latent KL", "Negative ELBO"]
    assert list(shown.columns) == ["Model", "Seeds", *terms]
    assert shown["Seeds"].eq("3 of 3").all()
    assert "The paper has no value for digits" in text(app)
    best = shown["Negative ELBO"].str.endswith(summary.BEST)
    assert shown["Model"][best].tolist() == [OPTIONS[MODELS[-1]].title]
    assert not shown["Latent KL"].str.endswith(summary.BEST).any(), "no better side"
    # place 0, test: 20 + 0.7 + 0.1 seed; t(0.975, 2) = 4.303 x 0.1 / sqrt(3) = 0.248
    assert shown["Reconstruction"].iloc[0] == "20.80 ± 0.25"
    assert not app.warning and len(charts(app)) == 1


def test_table1_sets_the_papers_value_and_difference_beside_ours(results):
    write_results(results, models=FEW, datasets=["digits", "mnist"])
    shown = sortable(show(dataset="mnist"))
    row = shown[shown["Model"] == "Vanilla VAE"].iloc[0]
    assert row["Reconstruction ours"] == "20.80 ± 0.25"
    assert row["Reconstruction paper"] == "112.33"
    assert row["Reconstruction difference"] == "−91.53"  # noqa: RUF001 (a minus sign)


def test_table1_marks_what_is_external(results):
    write_results(results, models=FEW)
    ours = sortable(show())
    others = results / "external" / "others.csv"
    others.parent.mkdir()
    head = "model,dataset,split,source,negative_elbo\n"
    others.write_text(f"{head}VAE+,digits,test,A source,10.5\n")
    write_tables(results, Plan.read(results))
    app = show()
    shown = sortable(app)
    assert list(shown["Model"]) == [*ours["Model"], "VAE+ (external)"]
    assert list(shown["Source"]) == [""] * len(ours) + ["external: A source"]
    external = shown.iloc[-1]
    assert external["Negative ELBO"].startswith("10.50") and external["Seeds"] == "1"
    assert external["Reconstruction"] == NOTHING
    # the lowest of all, and yet no part of what the page says of ours
    assert "10.50" not in text(app) and "take no part" in text(app)
    assert len(sortable(show(split="train"))) == len(ours), "it has no value there"
    for page in ("overview", "compare", "runs"):
        assert not show(page).exception


def test_table1_choices_are_in_the_url(results):
    write_results(results, models=FEW, datasets=["digits", "mnist"])
    app = show(dataset="mnist", split="train", metric="latent_kl")
    assert "Latent KL on mnist, train" in text(app)
    app.selectbox(key="split").set_value("train-running").run()
    assert not app.exception
    assert app.query_params == {
        "dataset": "mnist",
        "split": "train-running",
        "metric": "latent_kl",
    }
    assert "Latent KL on mnist, train, running average" in text(app)


def test_choices_follow_to_the_other_page(results):
    write_results(results, models=FEW, datasets=["digits", "mnist"])
    app = show()
    assert app.query_params == {}
    app.selectbox(key="dataset").set_value("mnist").run()
    assert app.query_params == {"dataset": "mnist"}
    app.query_params.clear()  # as the browser does on a page's link
    follow(app, "run")
    assert app.selectbox(key="dataset").value == "mnist"
    assert app.query_params == {"dataset": "mnist"}


def test_the_widgets_follow_the_browsers_back(results):
    write_results(results, models=FEW)
    app = show("run", model="vanilla")
    app.selectbox(key="model").set_value("compound-mixture").run()
    assert app.query_params["model"] == "compound-mixture"
    app.query_params["model"] = "vanilla"
    app.run()
    assert app.selectbox(key="model").value == "vanilla"
    app.query_params.clear()
    app.run()
    assert app.selectbox(key="model").value == "vanilla"
    assert app.query_params == {}
    assert not app.exception


def test_unknown_choices_in_the_url_fall_back(results):
    write_results(results, models=FEW)
    app = show(dataset="no-such", split="<b>", metric="")
    assert app.query_params["dataset"] == "digits"
    app = show("run", dataset="digits", model="no-such", seed="x")
    assert app.query_params == {"dataset": "digits", "model": MODELS[0], "seed": "0"}


def test_failed_and_missing_cells_say_so(results):
    everything = [("digits", "compound-gaussian", seed) for seed in range(3)]
    write_results(
        results,
        failed=[*everything, ("digits", "compound-mixture", 1)],
        missing=[("digits", "vanilla")],
    )
    app = show()
    [absent] = app.expander
    assert absent.label.replace("\\", "").startswith(
        "7 of 24 runs on digits are not finished: 4 failed, 3"
    )
    absent, shown = table(app), sortable(app).set_index("Model")
    assert len(absent) == 7
    assert absent["Detail"].str.contains("negative_elbo is nan").sum() == 4
    log = f"logs/train/{VANILLA.folder}.log"
    assert absent["Detail"].str.contains(log).sum() == 3
    assert shown.loc["Vanilla VAE", "Seeds"] == "0 of 3, 3 missing"
    assert shown.loc["Vanilla VAE", "Negative ELBO"] == NOTHING
    assert shown.loc["Compound, Gaussian prior", "Seeds"] == "0 of 3, 3 failed"
    assert shown.loc["Compound, mixture prior", "Seeds"] == "2 of 3, 1 failed"
    labels = frame(charts(app)[0], "label")["label"].tolist()
    # a row without a result keeps its place in the chart, and says why it is empty
    assert "Vanilla VAE  (no result: 3 missing)" in labels
    assert "Compound, mixture prior  (1 failed)" in labels


def test_run_shows_curves_results_pictures_and_settings(results):
    write_results(results, models=FEW)
    app = show("run", model="compound-mixture", seed="2")
    assert len(charts(app)) == 4  # three terms, and the weight KL in its own panel
    assert len(app.image) == 2
    shown = table(app)
    assert list(shown["Split"]) == ["Test"] * 3 + ["Train"] * 4
    assert shown["How"].iloc[0] == "weights sampled, running statistics"
    assert shown["How"].iloc[-1] == "running average of epoch 5"
    settings = table(app, 1).set_index("Model")["Value"]
    assert settings["hidden_layer"] == "dynamic"
    assert settings["weight_prior.kind"] == "mixture"
    app.selectbox(key="model").set_value("vanilla").run()
    assert not app.exception
    assert app.query_params["model"] == "vanilla"
    assert len(charts(app)) == 3  # no weight KL
    assert app.query_params["seed"] == "2"


def test_a_failed_run_shows_what_was_finite(results):
    write_results(results, models=FEW, failed=[("digits", "compound-mixture", 1)])
    app = show("run", model="compound-mixture", seed="1")
    assert "A failed run is not evaluated." in text(app)
    assert "From epoch 3 on some values are not finite" in text(app)
    assert "epoch 2" in charts(app)[0].proto.alt


VANILLA = block_of(config_of("vanilla"))
RUN, EVALUATION = f"runs/{VANILLA.folder}", str(evaluation_of(Path(), VANILLA))


@pytest.mark.parametrize(
    ("file", "page"),
    [
        ("tables/table1.csv", "table-1"),
        ("tables/cells.csv", "table-1"),
        ("tables/cells.csv", "run"),
        (f"{RUN}/run.json", "table-1"),
        (f"{RUN}/run.json", "run"),
        (f"{RUN}/training.json", "run"),
        (f"{RUN}/history.csv", "run"),
        (f"{EVALUATION}/metrics.csv", "run"),
        (f"{EVALUATION}/pictures/seed-0-samples.png", "run"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_stands(results, file, page):
    write_results(results, models=FEW)
    load_study(results).file(file).write_bytes(b"not,a\ntable,at,all\n")
    app = show(page, dataset="digits", model="vanilla", seed="0")
    assert [file in warning for warning in warned(app)] == [True]
    if not file.endswith("table1.csv"):
        assert app.table or app.dataframe
    assert show("run").table if page == "table-1" else show("table-1").dataframe


def test_a_new_result_appears_without_a_restart(results):
    write_results(results, models=FEW, missing=[("digits", "vanilla")])
    app = show()
    assert sortable(app)["Seeds"].tolist() == ["0 of 3, 3 missing", "3 of 3", "3 of 3"]
    write_results(results, models=FEW)
    app.run()
    assert sortable(app)["Seeds"].tolist() == ["3 of 3"] * 3


def test_dashboard_needs_no_heavy_library(tmp_path):
    """Pages must open fast, and on machines without the training stack."""
    write_results(tmp_path / "results")
    code = (
        "import sys\n"
        "from dashboard.pages import PAGES\n"
        "from tests.dashboard.visitor import show\n"
        "for page in PAGES:\n"
        "    show(page.path)\n"
        "heavy = {'torch', 'mlflow', 'torchvision', 'sklearn', 'scipy.stats'}\n"
        "heavy |= {'snakemake', 'vl_convert'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"COMVAE_RESULTS": str(tmp_path / "results")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_script_of_streamlit_is_alone_in_its_folder():
    """The folder comes first on the path: a module there hides one of its name, as of
    the standard library, and a folder `pages` would be run instead of the script."""
    beside = {path.name for path in APP.parent.iterdir()} - {"__pycache__"}
    assert beside == {APP.name}


def test_plain_escapes_all_markup_and_keeps_the_words():
    for words in (EVIL, "a *b* [c](d) <e> :red[f] $g$\n# h | `i` \\"):
        escaped = plain(words)
        kept = escaped.replace("\\", "").replace("\N{WORD JOINER}", "")
        assert kept == words.replace("\n", " ").replace("\\", "")
        for i, character in enumerate(escaped):
            assert character not in "*[]()<>:$#|`\n" or escaped[i - 1] == "\\"


def test_plain_makes_no_links():
    escaped = plain("https://e.test www.e.test a@e.test").replace("\\", "")
    for link in ("://", "www.", "a@"):
        assert link not in escaped
        assert link in escaped.replace("\N{WORD JOINER}", "")
