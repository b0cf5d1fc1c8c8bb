"""A published study is a folder of results: small, whole, and with the same tables."""

import json
from pathlib import Path

import pytest

from comvae.errors import ResultsError
from comvae.files import sha256_of
from comvae.results import publishing
from comvae.results.publishing import publish
from comvae.results.report import write_report
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.dashboard.studies import write_study


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results", models=["vanilla", "compound-mixture"])


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


def test_the_manifest_names_each_file_and_what_is_left_out(results, plan, tmp_path):
    [block, *_] = plan.blocks
    weights = results / "runs" / block.folder / "weights.safetensors"
    weights.write_bytes(bytes(publishing.LARGEST + 1))
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
