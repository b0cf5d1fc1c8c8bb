"""A published study is a folder of results: small, whole, and with the same tables."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from comvae.engine.tensors import write_tensors
from comvae.errors import ResultsError
from comvae.files import sha256_of
from comvae.results import publishing
from comvae.results.publishing import publish
from comvae.results.report import write_report
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.dashboard.studies import write_study
from tests.support import ROOT


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    write_study(folder, models=["vanilla", "compound-mixture"])
    record = "datasets/digits/dataset.json"  # a whole one
    shutil.copy(ROOT / "results" / "published" / "digits" / record, folder / record)
    return folder


@pytest.fixture
def plan(results: Path) -> Plan:
    return Plan.read(results)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_has_the_tables_and_the_report_of_the_study(results, plan, tmp_path):
    target = tmp_path / "published"
    publish(results, plan, target)
    write_tables(results, plan)
    write_report(results, plan)
    there = content(target / "studies")
    assert there == {
        name: text
        for name, text in content(results / "studies").items()
        if name in there
    }
    assert {"test/tables/claims.csv", "test/report/gaps.md"} <= there.keys()


def test_its_tables_are_made_again_from_its_files_byte_for_byte(
    results, plan, tmp_path
):
    target = tmp_path / "published"
    publish(results, plan, target)
    before = content(target)
    write_tables(target, Plan.read(target))
    write_report(target, Plan.read(target))
    assert content(target) == before


def test_what_a_model_starts_from_is_published_as_it_was_trained(
    results, plan, tmp_path
):
    """Without an evaluation: the study has no row of it."""
    blocks = {block.model: block for block in plan.blocks}
    alone = replace(
        plan,
        models={"compound-mixture": plan.models["compound-mixture"]},
        blocks=[blocks["compound-mixture"]],
        parents=[blocks["vanilla"]],
    )
    target = tmp_path / "published"
    publish(results, alone, target)
    there = content(target)
    run = f"runs/{blocks['vanilla'].folder}"
    assert {f"{run}/run.json", f"{run}/training.json"} <= there.keys()
    assert not [name for name in there if name.startswith("evaluations/digits/van")]


def make_large(results, plan, monkeypatch, largest: int):
    """The first block of a plan with real weights of its seeds, 64 kB each; a file may
    have `largest` bytes."""
    run = results / "runs" / plan.blocks[0].folder
    (run / "weights.safetensors").unlink(missing_ok=True)
    state = {"w": torch.rand(len(plan.blocks[0].seeds), 16_000)}
    training = json.loads((run / "training.json").read_text())
    said = write_tensors(run / "weights.safetensors", state)
    training["sha256"] = {"weights.safetensors": said}
    (run / "training.json").write_text(json.dumps(training))
    monkeypatch.setattr(publishing, "LARGEST", largest)
    return run / "weights.safetensors", state["w"]


def test_the_manifest_names_each_file_and_what_is_left_out(
    results, plan, tmp_path, monkeypatch
):
    weights, _ = make_large(results, plan, monkeypatch, 60_000)
    target = tmp_path / "published"
    assert publish(results, plan, target) == [weights]
    manifest = json.loads((target / "manifest.json").read_text())
    files = {
        path.relative_to(target).as_posix(): sha256_of(path)
        for path in target.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert manifest["sha256"] == files
    name = weights.relative_to(results).as_posix()
    assert manifest["left_out"] == {name: sha256_of(weights)}
    assert manifest["commits"] == ["synthetic"]
    assert not list(target.rglob("weights-seed-*"))


def test_of_large_weights_those_of_the_first_seed_are_published(
    results, plan, tmp_path, monkeypatch
):
    weights, w = make_large(results, plan, monkeypatch, 70_000)
    target = tmp_path / "published"
    assert publish(results, plan, target) == [weights]
    run = target / weights.parent.relative_to(results)
    [one] = run.glob("weights*")
    assert one.name == f"weights-seed-{plan.blocks[0].seeds[0]}.safetensors"
    assert torch.equal(load_file(one)["w"], w[:1])
    said = json.loads((run / "training.json").read_text())["sha256"]
    assert said[one.name] == sha256_of(one)
    lines = (target / "README.md").read_text("utf-8").splitlines()
    [row] = [line for line in lines if line.startswith("| `vanilla` ")]
    assert row.endswith(f"| seed {plan.blocks[0].seeds[0]} |")


def test_damaged_weights_are_not_published_in_part(
    results, plan, tmp_path, monkeypatch
):
    weights, _ = make_large(results, plan, monkeypatch, 70_000)
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ResultsError, match=r"weights.safetensors is damaged"):
        publish(results, plan, tmp_path / "published")


def test_pictures_are_those_of_the_first_seed(results, plan, tmp_path):
    assert len({path.name for path in results.rglob("seed-*.npz")}) > 1
    publish(results, plan, tmp_path / "published")
    found = {path.name for path in (tmp_path / "published").rglob("seed-*.npz")}
    assert found == {f"seed-{plan.blocks[0].seeds[0]}.npz"}


def test_an_unfinished_study_is_refused_and_nothing_is_lost(results, plan, tmp_path):
    target = tmp_path / "published"
    publish(results, plan, target)
    before = content(target)
    run = results / "runs" / plan.blocks[0].folder
    (run / "training.json").unlink()
    with pytest.raises(ResultsError, match=r"study test unfinished.*make study"):
        publish(results, plan, target)
    assert content(target) == before
    assert {path.name for path in tmp_path.iterdir()} == {"results", "published"}


@pytest.mark.parametrize("manifest", [None, "{}", '{"study": "other"}'])
def test_a_folder_of_other_files_stays(results, plan, tmp_path, manifest):
    target = tmp_path / "published"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    if manifest:
        (target / "manifest.json").write_text(manifest)
    with pytest.raises(ResultsError, match=r"published: found (other|other files),"):
        publish(results, plan, target)
    assert (target / "thesis.txt").exists()


def test_published_again_it_is_replaced(results, plan, tmp_path):
    target = tmp_path / "published"
    publish(results, plan, target)
    (target / "left.txt").write_text("of an earlier time")
    publish(results, plan, target)
    assert not (target / "left.txt").exists()


def test_no_folder_of_this_machine_is_published(results, plan, tmp_path):
    record = results / "datasets" / "digits" / "dataset.json"
    values = json.loads(record.read_text())
    values["source"] |= {"train-images": "/mirror/of mine/train.gz"}
    record.write_text(json.dumps(values))
    publish(results, plan, tmp_path / "published")
    for path in (tmp_path / "published").rglob("*.*"):
        assert b"/mirror/of mine" not in path.read_bytes(), path
