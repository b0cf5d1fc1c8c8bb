"""What one file says of the project the others say too: version, date, authors,
licence, the paper."""

import json
import re
import tomllib

import pytest
import yaml

import comvae
from tests.support import ROOT


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def said() -> dict[str, dict]:
    """The metadata of each file, in the same words."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    code = json.loads((ROOT / "codemeta.json").read_text("utf-8"))
    zenodo = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
    [paper] = citation["references"]
    [reference] = code["referencePublication"]
    [related] = zenodo["related_identifiers"]
    return {
        "citation": {
            "version": citation["version"],
            "date": citation["date-released"],
            "licence": citation["license"],
            "authors": [author["name"] for author in citation["authors"]],
            "keywords": citation["keywords"],
            "paper": paper["doi"],
            "repository": citation.get("repository-code"),
        },
        "codemeta": {
            "version": code["version"],
            "date": code["dateModified"],
            "licence": code["license"].rpartition("/")[2],
            "authors": [author["name"] for author in code["author"]],
            "keywords": code["keywords"],
            "paper": reference["identifier"].removeprefix("https://doi.org/"),
            "repository": code.get("codeRepository"),
        },
        "zenodo": {
            "version": zenodo["version"],
            "date": zenodo["publication_date"],
            "licence": zenodo["license"],
            "authors": [creator["name"] for creator in zenodo["creators"]],
            "keywords": zenodo["keywords"],
            "paper": related["identifier"],
        },
    }


@pytest.mark.parametrize("name", ["codemeta", "zenodo"])
def test_the_files_agree(said, name):
    assert said[name].items() <= said["citation"].items()


def test_they_are_of_this_project(said, project):
    own = {
        "version": project["version"],
        "licence": project["license"],
        "authors": [author["name"] for author in project["authors"]],
        "keywords": project["keywords"],
    }
    assert own.items() <= said["citation"].items()
    assert comvae.__version__ == project["version"]
    assert said["citation"]["repository"] == project.get("urls", {}).get("Repository")
    for name in ("codemeta.json", ".zenodo.json"):
        text = (ROOT / name).read_text("utf-8")
        assert json.loads(text)["description"] == project["description"]


def test_the_paper_is_cited_whole():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    [paper] = citation["references"]
    assert (paper["type"], paper["year"]) == ("conference-paper", 2019)
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Su", "Lin", "Chen"]
    assert re.fullmatch(r"10\.1109/ICASSP\.2019\.\d+", paper["doi"])
    assert paper["url"].rpartition("/")[2] == paper["doi"].rpartition(".")[2]


def test_the_changelog_begins_with_this_version(project):
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    first = re.search(r"^## (\S+) \((.+)\)$", text, re.M)
    assert first[1] == project["version"]
    assert first[2] == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", first[2])
