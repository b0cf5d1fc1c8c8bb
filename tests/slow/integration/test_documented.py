"""README and docs, followed as they stand in a fresh clone; and their site."""

import re
import sys

import pandas as pd
import pytest

from tests.blocks import PAGES, Reader
from tests.slow.support import copy_repository, run
from tests.support import ROOT

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """Who has followed the README to its end."""
    someone = Reader(tmp_path_factory.mktemp("reader") / "comvae")
    someone.follow(README)
    return someone


def test_the_readme_ends_with_a_study(reader):
    tables = reader.clone / "results" / "studies" / "digits" / "tables"
    cells = pd.read_csv(tables / "cells.csv")
    assert (cells["status"] == "finished").all() and (cells["gap"] == "measured").all()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != README],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_does_what_it_says(reader, page):
    reader.follow(page)


def test_the_site_is_built_and_a_link_that_leads_nowhere_fails_it(tmp_path):
    project = copy_repository(tmp_path)
    command = [sys.executable, str(project / ".ci" / "docs.py")]
    done = run(command, project)
    assert done.returncode == 0, done.stdout
    site = project / "build" / "docs" / "site"
    assert "datasheet" in (site / "index.html").read_text("utf-8").lower()
    loaded = r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+href="https?:'
    for html in site.rglob("*.html"):
        text = html.read_text("utf-8")
        assert not re.search(loaded, text), html
        assert "```" not in text, f"{html}: a block is not shown as one"
    for page, broken in (
        ("docs/api.md", "none.md"),
        ("CONTRIBUTING.md", "README.md#none"),
    ):
        with (project / page).open("a") as file:
            file.write(f"\n[x]({broken})\n")
    done = run(command, project)
    assert done.returncode != 0, done.stdout
    assert "none.md" in done.stdout and "#none" in done.stdout
