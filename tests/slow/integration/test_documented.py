"""What README and docs show, run as it stands there: the stages, the workflow as a
module of another one, and the site."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from tests.slow.support import copy_repository, run
from tests.support import ROOT


def block(page: str, language: str, begin: str) -> str:
    """The block of a page that begins so."""
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(
        rf"^```{language}\n({re.escape(begin)}.*?)^```", text, re.M | re.S
    )
    [only] = found
    return only


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """An empty folder with the files of docs/workflow.md, after `snakemake`."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "study.yaml").write_text(block("docs/workflow.md", "yaml", "study: nano"))
    text = block("docs/workflow.md", "snakemake", "configfile:")
    assert text.count('"../comvae/') == 1
    (folder / "Snakefile").write_text(text.replace('"../comvae/', f'"{ROOT}/'))
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    done = run(command, folder)
    assert done.returncode == 0, done.stdout
    return folder


def test_as_a_module_it_makes_table_1(module):
    study = module / "results" / "studies" / "nano"
    table = pd.read_csv(study / "tables" / "table1.csv")
    assert set(table["model"]) == {"vanilla", "compound-mixture"}
    assert (table["n_seeds"] == 2).all() and table["mean"].notna().all()
    assert "Compound, mixture prior" in (study / "report" / "table1.md").read_text()
    lines = len((study / "tables" / "table1.csv").read_text().splitlines())
    assert (module / "lines.txt").read_text().split()[0] == str(lines)


def test_as_a_module_it_makes_nothing_twice(module):
    done = run([sys.executable, "-m", "snakemake", "-n", "--cores", "2"], module)
    assert "Nothing to be done" in done.stdout


def test_the_stages_of_the_readme_run_one_by_one(tmp_path):
    """As they stand there, in a folder with the study and the code."""
    for name in ("config", "comvae"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = block("README.md", "bash", "run=$(python -m comvae configure")
    done = subprocess.run(
        ["bash", "-euc", text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Vanilla VAE" in done.stdout and "Amortization" in done.stdout.title()
    [gaps] = tmp_path.glob("results/evaluations/digits/vanilla/*/*/gaps.parquet")
    assert pd.read_parquet(gaps)["elbo"].notna().all()


@pytest.mark.parametrize(
    "page,broken,complaint",
    [
        ("README.md", None, None),
        ("docs/api.md", "[x](none.md)", "none.md"),
        ("CONTRIBUTING.md", "[x](README.md#none)", "none"),
    ],
)
def test_the_site_is_built_and_a_link_that_leads_nowhere_fails_it(
    tmp_path, page, broken, complaint
):
    project = copy_repository(tmp_path)
    if broken:
        with (project / page).open("a") as file:
            file.write(f"\n{broken}\n")
    done = run([sys.executable, str(project / ".ci" / "docs.py")], project)
    if broken:
        assert done.returncode != 0 and complaint in done.stdout
        return
    assert done.returncode == 0, done.stdout
    site = project / "build" / "docs" / "site"
    assert "datasheet" in (site / "index.html").read_text("utf-8").lower()
    loaded = r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+href="https?:'
    for html in site.rglob("*.html"):
        assert not re.search(loaded, html.read_text("utf-8")), html
