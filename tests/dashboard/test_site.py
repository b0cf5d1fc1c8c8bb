"""The static site: self-contained, correct, deterministic, with any results."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise

import pandas as pd
import pytest
import vl_convert

from comvae.errors import ResultsError
from dashboard import summary
from dashboard.charts import curves
from dashboard.elements import Chart
from dashboard.pages.overview import PAPER
from dashboard.render import vega
from dashboard.render.site import MAIN, build, pages_of
from dashboard.study import load_study
from tests.dashboard.site_reader import Page
from tests.dashboard.studies import FEW, edit, write_study
from tests.support import ROOT, study_in

TABLES = ("table1", "claims", "gaps", "attribution", "runs", "cells")
HEADINGS = ("h1", "h2", "h3", "h4")
MARKUP = "<script>alert(1)</script> </script><img src=x onerror=y> & \"quoted\" 'too'"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The results of a study of two datasets, of which the paper has one."""
    root = tmp_path_factory.mktemp("study") / "results"
    return write_study(root, datasets=("digits", "mnist"))


@pytest.fixture(scope="module")
def site(study, tmp_path_factory):
    """Its site."""
    output = tmp_path_factory.mktemp("built") / "site"
    assert build(load_study(study), output, output.parent / "figures") == []
    return output


@pytest.fixture(scope="module")
def pages(site):
    return {path.stem: Page(path) for path in sorted(site.glob("*.html"))}


def command(results, *arguments, **environment):
    """The command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "dashboard.render", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"COMVAE_RESULTS": str(results)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# The folder


def test_there_is_a_page_per_question_and_dataset(study, pages):
    files = {page.path for page in pages_of(load_study(study))} - {"overview"} | {
        "index"
    }
    assert set(pages) == files | {f"{name}-mnist" for name in files}


def test_nothing_is_asked_of_a_network(site, pages):
    for name, page in pages.items():
        for address in page.addresses:
            local = address == "data:," or address.startswith("data:image/svg+xml;")
            local |= address == PAPER.address  # which is followed, not loaded
            assert local or not re.match(r"[a-z]+:|//|/", address), name
        source = page.source.replace(f'<a href="{PAPER.address}">', "")
        assert "http" not in source, name
        # the libraries load what a specification names
        named = re.findall(r'"url": "([^"]*)"', json.dumps(page.specifications))
        assert all(address.startswith("data:") for address in named), name
    for path in [*site.glob("assets/*.css"), site / "assets" / "charts.js"]:
        for word in ("http", "@import", "url(", "fetch", "import "):
            assert word not in path.read_text(), (path.name, word)
    for path in site.glob("figures/*.svg"):
        addresses = set(re.findall(r"https?://([\w./]+)", path.read_text()))
        assert addresses <= {"www.w3.org/2000/svg", "www.w3.org/1999/xlink"}


def test_every_link_leads_somewhere(site, pages):
    named = set()
    for page in pages.values():
        for address in page.addresses:
            path, _, anchor = address.partition("#")
            if address.startswith("data:") or address == PAPER.address:
                continue
            assert (site / path).is_file() or not path, address
            assert not anchor or page.all(f"*[@id='{anchor}']"), address
            named.add(path)
    assert set(contents(site)) <= named, "every file is reachable"


def test_pages_are_accessible(pages):
    titles = set()
    for name, page in pages.items():
        assert page.source.startswith("<!DOCTYPE html>")
        assert page.root.get("lang") == "en"
        for landmark in ("title", "main", "h1", "header", "footer"):
            assert len(page.all(landmark)) == 1, name
        titles.add(page.all("title")[0].text)
        ids = [element.get("id") for element in page.all("*[@id]")]
        assert len(ids) == len(set(ids)), name
        labelled = page.all("*[@aria-labelledby]")
        assert all(e.get("aria-labelledby") in ids for e in labelled), name
        levels = [int(e.tag[1]) for e in page.root.iter() if e.tag in HEADINGS]
        steps = [after - before for before, after in pairwise([0, *levels])]
        assert max(steps) == steps[0] == 1, name
        first = page.all("a")[0]
        assert first.get("href") == "#main" and "Skip" in first.text
        assert all(nav.get("aria-label") for nav in page.all("nav"))
        assert len(page.all("a[@aria-current]")) == 2, "the page and the dataset"
        assert all(image.get("alt") for image in page.all("img"))
        for head in page.all("th"):
            assert head.get("scope") in ("col", "colgroup", "row")
        for heads in page.all("thead"):
            widths = [sum(int(c.get("colspan", 1)) for c in row) for row in heads]
            assert len(set(widths)) == 1, name
        regions = page.all("table/..")
        assert len(regions) == len(page.all("table"))
        for region in regions:
            assert region.get("role") == "region" and region.get("aria-label")
            assert region.get("tabindex") == "0", "it can be moved with the keyboard"
    assert len(titles) == len(pages)


def test_every_chart_has_its_message_and_both_themes(site, pages):
    charts = 0
    for name, page in pages.items():
        stills = page.all("figure/img")
        assert len(stills) == len(page.all("figure")) == len(page.specifications)
        for still, chart in zip(stills, page.specifications, strict=True):
            charts += 1
            says = still.get("alt")
            assert len(says) > 30 and says.endswith("."), name
            svg = (site / still.get("src")).read_text()
            assert svg.startswith("<svg") and len(svg) > 2000
            assert chart["light"]["width"] == chart["dark"]["width"] == "container"
            assert chart["light"] != chart["dark"]
            used = set(re.findall(r'"name": "(data-\w+)"', json.dumps(chart["dark"])))
            assert used and used == set(chart["datasets"])
            assert all(chart["datasets"].values())
        if not name.startswith(("compare", "pictures")):
            captions = ["".join(e.itertext()) for e in page.all("figcaption")]
            assert all("How to read it" in caption for caption in captions), name
            assert page.words.count("How to read it") == len(stills), name
    assert charts > 30


def test_tables_are_those_of_the_results(study, site, pages):
    for name in TABLES:
        table = f"tables/{name}.csv"
        assert (site / table).read_bytes() == (study_in(study) / table).read_bytes()
        assert table in pages["provenance"].addresses
    source = load_study(study)
    for dataset, stem in (("digits", "table-1"), ("mnist", "table-1-mnist")):
        splits = summary.split_choice(source.of("table1", dataset)).options
        for place, split in enumerate(splits):
            shown = summary.display_table(source, dataset, split)
            assert pages[stem].table(place) == shown.as_text().to_numpy().tolist()
        assert "Nats per image: mean ± half the width" in pages[stem].words
        beside = [head.text for head in pages[stem].all("th")]
        assert ("paper" in beside) == (dataset == "mnist")


def test_where_it_was_written_is_not_told(site, study):
    for name, content in contents(site).items():
        assert str(study).encode() not in content, name


def test_the_libraries_are_those_that_altair_writes_for():
    script = vega.javascript()
    assert "window.vegaEmbed=" in script and len(script) > 500_000
    assert vega.version() in vl_convert.get_vegalite_versions()


def test_the_same_results_give_the_same_bytes(study, site, tmp_path):
    """Also in another process, whose sets have another order."""
    done = command(study, "--output", tmp_path / "again", PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "again" / "index.html")
    first, second = contents(site), contents(tmp_path / "again")
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_a_picture_does_not_depend_on_those_before_it():
    """Training curves are clipped, and clips have numbers."""
    epochs = pd.DataFrame({"epoch": [1, 2], "seed": 0, "value": [3.0, 2.0]})
    epochs = epochs.assign(line="vanilla", model="vanilla", title="VAE")
    chart = Chart("curves", partial(curves.lines, epochs, "negative_elbo"), "Falls.")
    first, second = vega.picture(chart), vega.picture(chart)
    assert b"clip0" in first and first == second


# Text from the results


def test_text_from_results_is_never_markup(tmp_path):
    results = write_study(tmp_path / "results")
    path = study_in(results) / "study.json"
    values = json.loads(path.read_text())
    values["study"] = MARKUP
    values["models"]["compound-mixture"] = MARKUP
    path.write_text(json.dumps(values))
    edit(
        results, "claims", lambda rows: rows.assign(statement=MARKUP, definition=MARKUP)
    )
    site = tmp_path / "site"
    build(load_study(results), site)
    for path in site.glob("*.html"):
        page = Page(path)
        assert MARKUP in page.all("title")[0].text
        assert not page.all("*[@onerror]")
        scripts = [e for e in page.all("script") if "type" not in e.attrib]
        assert [script.get("src") for script in scripts] == [
            "assets/vega.js",
            "assets/charts.js",
        ]
        assert not any(script.text for script in scripts)
    charts = Page(site / "table-1.html").specifications
    assert MARKUP in json.dumps(charts[0], ensure_ascii=False).replace('\\"', '"')
    for path in site.glob("figures/*.svg"):
        assert "<script" not in path.read_text() and "<img" not in path.read_text()


# Partial, failed and damaged results


def test_damaged_files_are_named_and_the_others_shown(tmp_path):
    results = write_study(tmp_path / "results")
    (study_in(results) / "tables" / "gaps.csv").write_bytes(b"not,a\ntable,at,all\n")
    edit(results, "claims", lambda rows: rows.drop(columns="verdict"))
    (study_in(results) / "tables" / "attribution.csv").unlink()
    next(results.glob("runs/digits/vanilla/*/*/history.csv")).write_bytes(b"\x00")
    next(results.glob("evaluations/*/vanilla/*/*/pictures/seed-0.npz")).write_bytes(b"")
    done = command(results)
    assert done.returncode == 0
    site = study_in(results) / "site"
    assert done.stdout.strip() == str(site / "index.html")
    assert "Traceback" not in done.stderr
    pages = {path.stem: Page(path) for path in site.glob("*.html")}
    for name in ("gaps", "claims"):
        for words in (done.stderr, pages[name].words):
            assert f"tables/{name}.csv" in words and "has no column" in words
    assert "history.csv" in pages["compare"].words
    assert "is no readable archive of pictures" in pages["pictures"].words
    for name in ("table-1", "compare"):
        assert pages[name].all("figure"), name
    assert not (site / "tables" / "gaps.csv").exists()
    links = [address for page in pages.values() for address in page.addresses]
    assert "tables/gaps.csv" not in links and "tables/runs.csv" in links
    assert str(results) not in pages["gaps"].source


@pytest.mark.parametrize("there", ["nothing", "empty"])
def test_without_results_it_is_one_message(tmp_path, there):
    results = tmp_path / "results"
    if there == "empty":
        results.mkdir()
    done = command(results, "--output", tmp_path / "site")
    assert done.returncode == 1 and not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{results}: holds no results") and "make study" in line
    assert not (tmp_path / "site").exists()


# The place where it is written


def test_an_older_site_is_replaced_and_nothing_else(tmp_path):
    study = write_study(tmp_path / "results", models=FEW[:1])
    site = tmp_path / "site"
    site.mkdir()
    (site / "thesis.tex").write_text("years of work")
    with pytest.raises(ResultsError, match="is no site of a study"):
        build(load_study(study), site)
    assert [path.name for path in site.iterdir()] == ["thesis.tex"]
    (site / "thesis.tex").unlink()
    build(load_study(study), site)
    (site / "old.html").write_text("")
    build(load_study(study), site)
    assert not (site / "old.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "site"]


def test_main_figures_of_the_report(site):
    written = contents(site.parent / "figures")
    assert set(written) == {
        f"{dataset}/{figure}.svg" for dataset in ("digits", "mnist") for figure in MAIN
    }
    ours, beside = (written[f"{d}/test-negative-elbo.svg"] for d in ("digits", "mnist"))
    assert ours != beside, "the paper has values for one of them"
    assert all(content.startswith(b"<svg") for content in written.values())
    captions = (ROOT / "workflow" / "report" / "figures.rst").read_text()
    assert set(re.findall(r'^  "([\w-]+)":', captions, re.M)) == set(MAIN)
