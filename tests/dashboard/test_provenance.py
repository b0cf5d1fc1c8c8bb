"""The page Provenance: what it tells, what it flags, and what it lets one save."""

import json
import shutil

import pytest

from comvae.datasets.fetching import fetch
from comvae.results.report import write_report
from comvae.study.plan import Plan
from dashboard import records
from dashboard.study import load_study
from tests.dashboard.studies import FEW
from tests.dashboard.visitor import buttons, show, table, text, warned
from tests.results.written import folder_of
from tests.support import study_in


@pytest.fixture
def full(whole):
    """All that a study leaves, with a dataset and the reports."""
    fetch("digits", whole / "datasets" / "digits")
    write_report(whole, Plan.read(whole))
    return whole


def edit_training(results, model, **changes):
    """Change what one block's training recorded."""
    path = next(results.glob(f"runs/digits/{model}/*/*/training.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_everything_is_told(full):
    app = show("provenance")
    words = text(app)
    assert not app.warning
    assert "All blocks were trained with the same code, libraries and settings" in words
    trained = dict(table(app).itertuples(index=False))
    assert trained["commit"] == "synthetic"
    assert dict(table(app, 1).itertuples(index=False)) == {"device": "synthetic"}
    assert trained["version of python"] == "synthetic"
    study = dict(table(app, 2).itertuples(index=False))
    assert study["study"] == "test" and study["gap_images"] == "8"
    assert study["models"] == ", ".join(FEW)
    record = json.loads((full / "datasets" / "digits" / "dataset.json").read_text())
    checksums = app.code[0].value.splitlines()
    assert checksums == [f"{found}  {part}" for part, found in record["arrays"].items()]
    facts = dict(table(app, 4).itertuples(index=False))
    assert facts["counts.train"] == "1437" and facts["height"] == "8"


def test_settings_are_shared_or_differ(full):
    app = show("provenance")
    shared = dict(table(app, 3).itertuples(index=False))
    assert shared["training.epochs"] == "3" and "options.hidden_layer" not in shared
    [_, differing] = [frame.value for frame in app.dataframe]
    differing = differing.set_index("Setting")
    row = differing.loc["options.hidden_layer"]
    assert row["Vanilla VAE"] == "linear"
    assert row["Compound, mixture prior"] == "dynamic"
    assert differing.loc["options.weight_prior.kind", "Vanilla VAE"] == "not set"
    assert next(iter(differing)) == "Vanilla VAE"
    assert not set(shared) & set(differing.index)
    assert "options.weight_prior" not in {*shared, *differing.index}


def test_every_table_is_saved_byte_for_byte(full):
    expected = [
        *sorted(study_in(full).glob("tables/*.csv")),
        *sorted(study_in(full).glob("report/*.md")),
    ]
    expected += [
        study_in(full) / "study.json",
        full / "datasets" / "digits" / "dataset.json",
    ]
    assert len(expected) == 11
    assert [
        load_study(full).file(path) for path in records.files(full, study_in(full))
    ] == expected
    app = show("provenance")
    names = [path.name for path in expected[:-1]]
    assert buttons(app)[: len(expected)] == [*names, "digits, dataset.json"]


def test_the_paper_and_the_study_are_cited(full):
    cited = show("provenance").code[-2].value
    assert "author = {Su, Shang-Yu and Lin, Shan-Wei and Chen, Yun-Nung}" in cited
    assert "booktitle = {IEEE International" in cited and "year = {2019}" in cited
    assert "@software{comvae,\n  title = {{ComVAE" in cited


def test_a_password_is_neither_shown_nor_buttons(full):
    path = study_in(full) / "study.json"
    uri = {"tracking_uri": "https://user:secret@mlflow.example.org"}
    path.write_text(json.dumps(json.loads(path.read_text()) | uri))
    app = show("provenance")
    assert "study.json" not in buttons(app) and "table1.csv" in buttons(app)
    cells = [cell for each in app.table for cell in each.value.to_numpy().flat]
    assert not any("secret" in str(cell) for cell in cells)
    assert any("mlflow" in str(cell) for cell in cells)


def test_differences_between_blocks_are_flagged(full):
    versions = {"python": "synthetic", "torch": "2.14.1"}
    edit_training(full, "vanilla", git_commit="0123abc", versions=versions)
    app = show("provenance")
    assert warned(app) == [
        "Not all runs are of one commit: synthetic (2 blocks), 0123abc (1 block).",
        "Not all runs are of one version of torch: not recorded (2 blocks), "
        "2.14.1 (1 block).",
    ]
    assert "All blocks were trained with the same" not in text(app)


def test_changed_code_is_flagged_and_other_settings_are_another_study(full):
    for model in FEW:
        edit_training(full, model, git_commit="0123abc-dirty")
    first = folder_of(full, "runs", "vanilla")
    shutil.copytree(first, first.parents[1] / ("f" * 12) / first.name)
    [flagged] = warned(show("provenance"))
    assert flagged.startswith("3 blocks trained with code that was changed")


# Partial and damaged results


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
    ],
)
def test_a_damaged_dataset_is_named(full, content):
    (full / "datasets" / "digits" / "dataset.json").write_bytes(content)
    app = show("provenance")
    assert ["digits/dataset.json" in notice for notice in warned(app)] == [True]
    assert table(app).columns[1] == "Of 3 blocks"


def test_odd_values_in_a_dataset_are_shown(full):
    path = full / "datasets" / "digits" / "dataset.json"
    odd = {"counts": {"train": None}, "files": {"a": 1, "b": {}}, "title": ["x"]}
    odd |= {"arrays": [], "source": {}}
    path.write_text(json.dumps(json.loads(path.read_text()) | odd))
    assert not show("provenance").warning


@pytest.mark.parametrize("content", [b"", b"[]"])
def test_a_damaged_record_of_training_is_named(full, content):
    path = edit_training(full, "vanilla")
    path.write_bytes(content)
    app = show("provenance")
    assert ["vanilla" in notice and path.name in notice for notice in warned(app)] == [
        True
    ]
    assert table(app).columns[1] == "Of 2 blocks"


def test_a_damaged_study_is_named(full):
    (study_in(full) / "study.json").write_bytes(b"{")
    app = show("provenance")
    assert ["study.json" in notice for notice in warned(app)] == [True]
    assert "There is no study.json that can be read" in text(app).replace("`", "")
