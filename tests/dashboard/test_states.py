"""Every page in every state of a study, with 10,000 runs, shown and written."""

import shutil

import pytest

from dashboard.pages import PAGES
from dashboard.render.site import build, pages_of
from dashboard.study import load_study
from tests.dashboard.site_reader import Page
from tests.dashboard.studies import EVIL, FEW, edit_json, write_study
from tests.dashboard.visitor import charts, show, text, warned
from tests.results.written import MODELS, write_large_results, write_results
from tests.support import study_in

SHOWN = ["vega_lite_chart", "table", "dataframe", "image"]
WORDS = 60  # characters that a page says at least
PATHS = [page.path for page in PAGES]
LOST = [("digits", "compound-mixture", seed) for seed in range(3)]
STATES = {
    "all": {"models": [*MODELS, "compound-mixture-mean"]},
    "one block": {"missing": [("digits", model) for model in FEW[1:]]},
    "failed blocks": {"failed": [*LOST, ("digits", "simplified-mixture", 1)]},
    "nothing finished": {"missing": [("digits", model) for model in FEW]},
    "no gaps": {"not_measured": [("digits", model) for model in FEW]},
    "two datasets": {"datasets": ("digits", "mnist"), "models": FEW[:2]},
}


def shown(app):
    """How many charts, tables and pictures a page has."""
    return sum(len(app.get(kind)) for kind in SHOWN)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("exists", [True, False])
def test_without_results_a_page_says_what_to_run(results, path, exists):
    if exists:
        results.mkdir()
    app = show(path)
    assert "There are no results in" in text(app)
    assert app.code[0].value == "make study" and shown(app) == 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("path", PATHS)
def test_every_state(results, path, state):
    write_study(results, **STATES[state])
    app = show(path)
    assert len(text(app)) > WORDS
    if state == "all":
        # which shows nothing of one study of one dataset
        assert shown(app) or path in ("studies", "ood", "rivals")
        assert not app.warning
    alts = [chart.proto.alt for chart in charts(app)]
    assert all(len(alt) > 30 and alt.endswith(".") for alt in alts)
    labels = [button.label for button in app.get("download_button")]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize("state", ["one block", "nothing finished", "no gaps"])
def test_every_state_is_written(tmp_path, state):
    results = write_study(tmp_path / "results", **STATES[state])
    assert build(load_study(results), tmp_path / "site") == []
    pages = [Page(path) for path in (tmp_path / "site").glob("*.html")]
    assert len(pages) == len(pages_of(load_study(results)))
    assert all(len(page.words) > WORDS for page in pages)


@pytest.mark.parametrize("path", PATHS)
def test_before_the_tables(results, path):
    write_results(results, models=FEW, tables=False)
    app = show(path)
    assert not app.warning and len(text(app)) > WORDS
    if path in ("table-1", "claims", "gaps", "overview", "compare", "runs"):
        assert "is not written yet" in text(app)
        assert "9 of 9 runs are trained" in text(app)
        assert charts(app) or path != "compare"


@pytest.mark.parametrize("damage", ["junk", "column", "gone"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("overview", "runs"),
        ("table-1", "table1"),
        ("claims", "claims"),
        ("gaps", "gaps"),
        ("gaps", "attribution"),
        ("compare", "runs"),
        ("runs", "runs"),
    ],
)
def test_a_damaged_table_is_named_and_the_others_work(whole, path, name, damage):
    table = study_in(whole) / "tables" / f"{name}.csv"
    if damage == "junk":
        table.write_bytes(b"not,a\ntable,at,all\n")
    elif damage == "column":
        table.write_text(table.read_text().replace("dataset", "data"))
    else:
        table.unlink()
    app = show(path)
    assert len(app.warning) == (0 if damage == "gone" else 1)
    assert all(f"tables/{name}.csv" in warning for warning in warned(app))
    if name not in ("attribution", "table1") or path == "table-1":
        assert f"tables/{name}.csv" in text(app)
    assert charts(show("claims" if path != "claims" else "gaps"))


@pytest.mark.parametrize("path", PATHS)
def test_text_from_files_is_never_markup(results, path):
    write_study(results, failed=LOST)
    study = study_in(results) / "study.json"
    study.write_text(study.read_text().replace("Simplified, mixture prior", EVIL))
    for run in results.glob("runs/*/simplified-mixture/*/*/run.json"):
        run.write_text(run.read_text().replace("Simplified, mixture prior", EVIL))
    for name in ("cells", "claims"):
        table = study_in(results) / "tables" / f"{name}.csv"
        table.write_text(table.read_text().replace("negative_elbo is nan", EVIL))
    edit_json(next(results.glob("runs/*/vanilla/*/*/training.json")), git_commit=EVIL)
    shutil.rmtree(results / "evaluations" / "digits" / "vanilla")
    app = show(path)
    kinds = ["title", "header", "subheader", "markdown", "caption"]
    kinds += ["warning", "info", "error"]
    shown = [element for kind in kinds for element in getattr(app, kind)]
    assert not any(getattr(element, "allow_html", False) for element in shown)
    words = [element.value for element in shown]
    words += [str(cell) for each in app.table for cell in each.value.to_numpy().flat]
    for word in words:
        for markup in ("<script", "![i", "**b", "$x", ":red["):
            at = word.find(markup)
            assert at < 0 or word[at - 1] == "\\"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A finished study of 10,000 runs, whose gaps are not measured."""
    folder = tmp_path_factory.mktemp("large") / "results"
    plan = write_large_results(folder)
    assert sum(len(block.seeds) for block in plan.blocks) == 10_000
    return folder


@pytest.mark.parametrize("path", PATHS)
def test_with_ten_thousand_runs(large, monkeypatch, path):
    monkeypatch.setenv("COMVAE_RESULTS", str(large))
    app = show(path)
    assert len(text(app)) > WORDS
    lacking = (
        "gaps",
        "ood",
        "pictures",
        "readings",
        "rivals",
        "studies",
    )  # which such results have not
    assert shown(app) or path in lacking


@pytest.mark.parametrize("path", ["overview", "table-1", "claims", "gaps", "compare"])
def test_a_part_of_a_study_is_marked_as_one(results, path):
    """The runs of one model are not trained yet; those of the others are all."""
    models = len(FEW)
    write_study(results, missing=[("digits", FEW[-1])])
    said = f"Part of the study: {3 * models - 3} of {3 * models} runs are in the tables"
    assert said in text(show(path))
    shutil.rmtree(results)
    write_study(results, failed=[("digits", FEW[-1], 0)])
    assert "Part of the study" not in text(show(path))
