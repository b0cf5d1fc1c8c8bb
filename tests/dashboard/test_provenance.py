"""The page Provenance: what it tells, what it flags, and what it lets one save."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from comvae.datasets.fetching import fetch
from comvae.results.report import write_report
from comvae.study.plan import Block, Plan
from dashboard import provenance, rulegraph
from dashboard.theme import LIGHT_INK
from tests.dashboard.test_dashboard import (
    FEW,
    ROOT,
    own_main_module,
    results,
    show,
    table,
    text,
)
from tests.dashboard.test_pages import buttons, whole, write_study
from tests.results.written import OPTIONS

__all__ = ["own_main_module", "results", "whole"]  # fixtures


@pytest.fixture
def full(whole):
    """All that a study leaves, with a dataset and the reports."""
    fetch("digits", whole / "datasets" / "digits")
    titles = {model: OPTIONS[model].title for model in FEW}
    blocks = [Block("digits", model, (0, 1, 2)) for model in FEW]
    write_report(whole, Plan("test", ["digits"], titles, blocks, None, 8))
    return whole


def edit_training(results, model, **changes):
    """Change what one block's training recorded."""
    path = next(results.glob(f"runs/digits/{model}/*/training.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def notices(app):
    return [warning.value.replace("\\", "") for warning in app.warning]


def saved(app):
    return [label.replace("\\", "") for label in buttons(app)]


def test_everything_is_told(full):
    app = show("provenance")
    words = text(app)
    assert not app.warning
    assert "All blocks were trained with the same code, libraries and settings" in words
    trained = dict(table(app).itertuples(index=False))
    assert trained["commit"] == "synthetic" and trained["device"] == "synthetic"
    assert trained["version of python"] == "synthetic"
    study = dict(table(app, 1).itertuples(index=False))
    assert study["study"] == "test" and study["gap_images"] == "8"
    assert study["models"] == ", ".join(FEW)
    record = json.loads((full / "datasets" / "digits" / "dataset.json").read_text())
    checksums = app.code[0].value.splitlines()
    assert checksums == [f"{found}  {part}" for part, found in record["arrays"].items()]
    facts = dict(table(app, 3).itertuples(index=False))
    assert facts["images, train"] == "1437" and facts["pixels"] == "8 x 8"
    assert len(app.get("graphviz_chart")) == 1
    assert "How to read it" in words


def test_settings_are_shared_or_differ(full):
    app = show("provenance")
    shared = dict(table(app, 2).itertuples(index=False))
    assert shared["training.epochs"] == "3" and "options.hidden_layer" not in shared
    [_, differing] = [frame.value for frame in app.dataframe]
    row = differing.loc["options.hidden_layer"]
    assert row["Vanilla VAE"] == "linear"
    assert row["Compound, mixture prior"] == "dynamic"
    assert differing.loc["options.weight_prior.kind", "Vanilla VAE"] == "not set"
    assert next(iter(differing)) == "Vanilla VAE"
    assert not set(shared) & set(differing.index)
    assert "options.weight_prior" not in {*shared, *differing.index}


def test_every_table_is_saved_byte_for_byte(full):
    expected = [*sorted(full.glob("tables/*.csv")), *sorted(full.glob("report/*.md"))]
    expected += [full / "study.json", full / "datasets" / "digits" / "dataset.json"]
    assert len(expected) == 11
    assert provenance.files(full) == expected
    app = show("provenance")
    names = [path.name for path in expected[:-1]]
    assert saved(app) == [*names, "digits, dataset.json"]


def test_a_password_is_neither_shown_nor_saved(full):
    path = full / "study.json"
    uri = {"tracking_uri": "https://user:secret@mlflow.example.org"}
    path.write_text(json.dumps(json.loads(path.read_text()) | uri))
    app = show("provenance")
    assert "study.json" not in saved(app) and "table1.csv" in saved(app)
    cells = [cell for each in app.table for cell in each.value.to_numpy().flat]
    assert not any("secret" in str(cell) for cell in cells)
    assert any("mlflow" in str(cell) for cell in cells)


def test_differences_between_blocks_are_flagged(full):
    versions = {"python": "synthetic", "torch": "2.14.1"}
    edit_training(full, "vanilla", git_commit="0123abc", versions=versions)
    app = show("provenance")
    assert notices(app) == [
        "Not all runs are of one commit: synthetic (2 blocks), 0123abc (1 block).",
        "Not all runs are of one version of torch: not recorded (2 blocks), "
        "2.14.1 (1 block).",
    ]
    assert "All blocks were trained with the same" not in text(app)


def test_changed_code_and_settings_are_flagged(full):
    for model in FEW:
        edit_training(full, model, git_commit="0123abc-dirty")
    first = next(full.glob("runs/digits/vanilla/*/training.json"))
    other = first.parent.with_name("seeds-5") / first.name
    other.parent.mkdir()
    record = json.loads(first.read_text()) | {"config_hash": "another"}
    other.write_text(json.dumps(record))
    flagged = notices(show("provenance"))
    assert len(flagged) == 2
    assert flagged[0].startswith("4 blocks trained with code that was changed")
    assert "seeds of vanilla on digits were trained with 2 different" in flagged[1]


# Partial and damaged results


@pytest.mark.parametrize("exists", [True, False])
def test_no_results_say_what_to_run(results, exists):
    if exists:
        results.mkdir()
    app = show("provenance")
    assert "There are no results in" in text(app)
    assert app.code[0].value == "make study"


def test_one_finished_block(results):
    write_study(results, missing=[("digits", model) for model in FEW[1:]])
    app = show("provenance")
    assert table(app).columns[1] == "Of 1 blocks"
    assert not app.warning and "runs.csv" in saved(app)
    assert "None is fetched yet" in text(app)


def test_failed_blocks(results):
    write_study(results, failed=[("digits", "vanilla", seed) for seed in range(3)])
    app = show("provenance")
    assert table(app).columns[1] == "Of 3 blocks" and not app.warning


def test_before_anything_is_trained(results):
    write_study(results, missing=[("digits", model) for model in FEW])
    app = show("provenance")
    assert "No block is trained yet" in text(app) and not app.warning


def test_a_study_without_gaps_draws_no_rule_of_theirs(full):
    drawn = show("provenance").get("graphviz_chart")[0].proto.spec
    assert "gap_images" in drawn
    path = full / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"gap_images": 0}))
    drawn = show("provenance").get("graphviz_chart")[0].proto.spec
    assert "gap" not in drawn and "train -> evaluate" in drawn


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"counts": {}, "files": {}, "arrays": [], "source": {}}',
    ],
)
def test_a_damaged_dataset_is_named(full, content):
    (full / "datasets" / "digits" / "dataset.json").write_bytes(content)
    app = show("provenance")
    assert ["digits/dataset.json" in notice for notice in notices(app)] == [True]
    assert app.get("graphviz_chart") and table(app).columns[1] == "Of 3 blocks"


def test_odd_values_in_a_dataset_are_shown(full):
    path = full / "datasets" / "digits" / "dataset.json"
    odd = {"counts": {"train": None}, "files": {"a": 1, "b": {}}, "title": ["x"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | odd))
    assert not show("provenance").warning


@pytest.mark.parametrize("content", [b"", b"[]", b'{"versions": [1]}'])
def test_a_damaged_record_of_training_is_named(full, content):
    path = edit_training(full, "vanilla")
    path.write_bytes(content)
    app = show("provenance")
    assert ["vanilla" in notice and path.name in notice for notice in notices(app)] == [
        True
    ]
    assert table(app).columns[1] == "Of 2 blocks"


def test_an_old_record_of_training_is_enough(full):
    path = edit_training(full, "vanilla")
    path.write_text('{"finished_at": "yesterday", "train_seconds": "long"}')
    flagged = notices(show("provenance"))
    assert any("not recorded (1 block)" in notice for notice in flagged)


def test_a_damaged_study_is_named(full):
    (full / "study.json").write_bytes(b"{")
    app = show("provenance")
    assert ["study.json" in notice for notice in notices(app)] == [True]
    assert "There is no study.json that can be read" in text(app).replace("`", "")


def test_text_from_files_is_never_markup(full):
    evil = "<script>x</script> ![i](http://e) **b** $x$ :red[r]"
    edit_training(full, "vanilla", git_commit=evil, versions={evil: evil})
    path = full / "datasets" / "digits" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"title": evil}))
    (full / "tables" / "**b** :red[r].csv").write_text("a\n")
    app = show("provenance")
    assert "**b** :red[r].csv" in saved(app)
    kinds = ("header", "subheader", "markdown", "caption", "warning")
    words = [each.value for kind in kinds for each in getattr(app, kind)]
    words += [str(cell) for each in app.table for cell in each.value.to_numpy().flat]
    assert sum("script" in word for word in words) >= 4
    for word in [*words, *buttons(app)]:
        for markup in ("<script", "![i", "**b", "$x", ":red["):
            at = word.find(markup)
            assert at < 0 or word[at - 1] == "\\"


# The rule graph


def after(rule: str, arrows: set[tuple[str, str]]) -> set[str]:
    """All rules that need `rule`, at first or at second hand."""
    following = {then for first, then in arrows if first == rule}
    return following.union(*(after(then, arrows) for then in following))


def test_the_rules_are_those_of_snakemake():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "--forceall"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', done.stdout))
    arrows = re.findall(r"(\d+) -> (\d+)", done.stdout)
    found = {(names[first], names[then]) for first, then in arrows}
    # rule all also names what the tables are made of, so that a deleted file comes back
    direct = {first for first, then in found if then == "all"}
    found -= {
        (first, "all") for first in direct if direct & after(first, found) - {"all"}
    }
    ours = {(first, then) for then, all_ in rulegraph.BEFORE.items() for first in all_}
    assert ours == found
    assert set(rulegraph.WRITES) == set(rulegraph.BEFORE) == set(names.values())


def test_only_arrows_that_others_imply_are_left_out():
    drawn = rulegraph.edges()
    assert ("train", "evaluate") in drawn and ("configure", "evaluate") not in drawn

    def before(rule):
        direct = {first for first, then in drawn if then == rule}
        return direct.union(*map(before, direct))

    for rule, needed in rulegraph.BEFORE.items():
        assert set(needed) <= before(rule)
    dot = rulegraph.dot(LIGHT_INK)
    assert dot.count("->") == len(drawn) and dot.count("[label=") == len(
        rulegraph.WRITES
    )


def test_the_table_of_blocks_can_be_sorted(full):
    frame = show("provenance").dataframe[0].value
    assert len(frame) == 3 and frame["training, s"].eq(12.5).all()
    assert pd.api.types.is_datetime64_any_dtype(frame["finished, UTC"])
