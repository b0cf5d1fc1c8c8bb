"""What is published: whole, as its manifest says, and its tables from its own files."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from comvae.errors import ResultsError, SettingsError
from comvae.files import sha256_of
from comvae.results.crate import CRATE, PROFILES, WORKFLOW, write_crate
from comvae.results.datasheet import README, datasheet
from comvae.results.publishing import LARGEST, MANIFEST
from comvae.results.report import write_report
from comvae.results.tables import write_tables
from comvae.study.plan import Plan
from tests.support import ROOT

PUBLISHED = ROOT / "results" / "published"
STUDIES = sorted(path.parent.name for path in PUBLISHED.glob("*/studies"))


@pytest.mark.parametrize("study", STUDIES)
def test_each_file_is_as_the_manifest_says(study):
    folder = PUBLISHED / study
    found = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (MANIFEST, CRATE, WORKFLOW)
    }
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    assert found == manifest["sha256"]
    assert max(path.stat().st_size for path in folder.rglob("*")) <= LARGEST
    assert not any(commit.endswith("-dirty") for commit in manifest["commits"])


@pytest.mark.parametrize("study", STUDIES)
def test_its_tables_and_report_are_made_again_byte_for_byte(study, tmp_path):
    folder = tmp_path / study
    shutil.copytree(PUBLISHED / study, folder)
    plan = Plan.read(folder)
    before = {path: path.read_bytes() for path in plan.folder(folder).rglob("*.*")}
    shutil.rmtree(plan.folder(folder) / "tables")
    shutil.rmtree(plan.folder(folder) / "report")
    write_tables(folder, plan)
    write_report(folder, plan)
    assert before == {p: p.read_bytes() for p in plan.folder(folder).rglob("*.*")}


@pytest.mark.parametrize("study", STUDIES)
def test_its_readme_is_what_its_files_say(study):
    folder = PUBLISHED / study
    made = json.loads((folder / MANIFEST).read_text("utf-8"))
    expected = datasheet(folder, Plan.read(folder), made)
    assert (folder / README).read_text("utf-8") == expected


@pytest.mark.parametrize("study", STUDIES)
def test_its_crate_is_a_workflow_run_crate(study):
    """What the profiles demand (Workflow Run Crate 0.5, Workflow RO-Crate 1.0)."""
    folder = PUBLISHED / study
    crate = ROCrate(folder)
    root, main = crate.root_dataset, crate.mainEntity
    for name in ("name", "description", "datePublished", "license", "author"):
        assert root[name]
    assert {profile.id for profile in root["conformsTo"]} == set(PROFILES)
    assert main.id == WORKFLOW and (folder / main.id).is_file()
    kinds = {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert set(main.type) == kinds
    assert main["programmingLanguage"]["name"] == "Snakemake"
    action = root["mentions"]
    assert action.type == "CreateAction" and action["instrument"] is main
    datetime.fromisoformat(action["endTime"])
    parts = {part.id for part in root["hasPart"]}
    used = [*action["object"], *action["result"]]
    assert {entity.id for entity in used} <= parts
    assert all((folder / part).exists() for part in parts)
    tables = {path.name for path in folder.glob("studies/*/tables/*.csv")}
    assert tables <= {Path(entity.id).name for entity in action["result"]}


@pytest.mark.parametrize("study", STUDIES)
def test_its_crate_is_written_again_the_same(study, tmp_path):
    folder = tmp_path / study
    shutil.copytree(PUBLISHED / study, folder)
    before = json.loads((folder / CRATE).read_text("utf-8"))
    after = json.loads(write_crate(folder, ROOT).read_text("utf-8"))
    assert before == after


def test_a_crate_needs_a_published_study_and_the_workflow(tmp_path):
    with pytest.raises(ResultsError, match=r"manifest.json: found no readable"):
        write_crate(tmp_path, ROOT)
    with pytest.raises(SettingsError, match=r"workflow/Snakefile: found no workflow"):
        write_crate(tmp_path, tmp_path)


def test_the_readme_begins_with_what_is_published():
    report = PUBLISHED / "digits" / "studies" / "digits" / "report" / "table1.md"
    said = report.read_text("utf-8").split("\n\n")[1]
    assert said in (ROOT / "README.md").read_text("utf-8").split("\n## ")[0]
