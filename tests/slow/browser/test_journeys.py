"""What people do with the dashboard: follow links, filter, open a run, save a table."""

import io
import re
from pathlib import Path

import pandas as pd

from tests.support import study_in

DOWNLOAD = re.compile(r"Download (\S+\.csv)")
FORMS = re.compile(r"Download (\S+\.(\w+))$", re.M)


def test_back_forward_and_a_copied_link_show_the_same(visitor):
    seen = visitor()
    seen.open("table-1")
    seen.choose("Split", "Train, running average")
    seen.choose("Term in the chart", "Latent KL")
    assert seen.query() == "split=train-running&metric=latent_kl"
    link, words = seen.page.url, seen.words()
    assert "Latent KL on digits, train, running average" in words
    assert seen.page.title() == "Table 1 \N{EN DASH} Study: test"

    seen.page.reload()
    seen.settle()
    assert (seen.page.url, seen.words()) == (link, words)

    colleague = visitor(width=1440)
    colleague.open(link.removeprefix(seen.url))
    assert colleague.words() == words

    seen.go(-1)
    assert seen.query() == "split=train-running"
    assert "Negative ELBO on digits, train, running average" in seen.words()
    seen.go(-1)
    assert seen.query() == ""
    assert "Negative ELBO on digits, test" in seen.words()
    seen.go(1)
    assert "Negative ELBO on digits, train, running average" in seen.words()


def test_a_choice_goes_along_to_another_page(visitor):
    seen = visitor()
    seen.open("gaps?split=train")
    seen.follow("Table 1")
    assert seen.query() == "split=train"
    assert "Negative ELBO on digits, train" in seen.words()
    seen.choose("Split", "Test")
    assert seen.query() == "split=test"
    seen.go(-1)
    assert (seen.heading(), seen.query()) == ("Table 1", "split=train")
    seen.go(-1)
    if seen.query() == "":  # a slow Streamlit makes a step of the link itself
        assert seen.heading() == "Table 1"
        seen.go(-1)
    assert (seen.heading(), seen.query()) == ("Gaps", "split=train")


def test_the_first_page_leads_to_its_reasons(visitor):
    seen = visitor()
    seen.open()
    more = seen.page.get_by_test_id("stMain").get_by_role("link", name="More: ")
    links = dict.fromkeys(more.all_inner_texts())
    assert len(links) >= 4
    for link in links:
        seen.click(seen.page.get_by_role("link", name=link))
        assert seen.heading() == link.removeprefix("More: ")
        assert "dataset=digits" in seen.query()
        seen.go(-1)
        assert seen.heading() == "Study: test"


def test_models_are_added_and_taken_away(visitor):
    seen = visitor()
    seen.open("compare?models=vanilla,simplified-mixture")
    assert "beside Vanilla VAE: 1 better." in seen.words()
    box = seen.page.get_by_label("Models, the first is what the others are compared")
    box.fill("compound, mix")
    seen.click(seen.page.get_by_role("option", name="Compound, mixture prior"))
    assert seen.query() == "models=vanilla%2Csimplified-mixture%2Ccompound-mixture"
    assert "beside Vanilla VAE: 2 better." in seen.words()


def test_a_run_is_opened(visitor, results):
    seen = visitor()
    seen.open("run?model=compound-mixture&seed=2")
    words = seen.words()
    assert "digits, compound-mixture, seed 2: finished" in words
    [metrics] = results.glob("evaluations/digits/compound-mixture/*/*/metrics.csv")
    rows = pd.read_csv(metrics).query("seed == 2 and split == 'test'")
    for value in rows["negative_elbo"]:
        assert f"{value:.2f}" in words
    pictures = seen.page.get_by_test_id("stMain").locator("img")
    assert pictures.count() == 2
    for picture in pictures.all():
        assert picture.evaluate("e => e.complete && e.naturalWidth > 100")


def test_every_download_is_its_file(visitor, results, tmp_path):
    seen = visitor()
    seen.open()
    saved = {}
    for title, path in seen.pages().items():
        if seen.path() != path:
            seen.follow(title)
        buttons = seen.page.get_by_role("button", name=DOWNLOAD)
        for label in buttons.all_inner_texts():
            [name] = DOWNLOAD.findall(label)
            saved[title, name] = save(seen.page, name, tmp_path)
    tables = {
        path.name: path.read_bytes() for path in study_in(results).glob("tables/*.csv")
    }
    names = {name for _, name in saved}
    assert names >= {"table1.csv", "gaps.csv", "claims.csv", "attribution.csv"}
    for (title, name), content in saved.items():
        if name in tables:
            assert content == tables[name], f"{title}: {name}"
        assert len(pd.read_csv(io.BytesIO(content))), f"{title}: {name} has no row"


def test_tables_and_charts_are_saved_with_their_captions(visitor, tmp_path):
    seen = visitor()
    seen.open("claims")
    openers = seen.page.get_by_test_id("stPopover").get_by_role("button")
    begins = {"csv": b"", "md": b"", "tex": b"\\begin{table}"}
    begins |= {"svg": b"<svg", "png": b"\x89PNG"}
    saved = set()
    for opener in openers.all():
        opener.click()
        body = seen.page.get_by_test_id("stPopoverBody")
        buttons = body.get_by_role("button", name=FORMS)
        buttons.first.wait_for()
        for label in buttons.all_inner_texts():
            [(name, end)] = FORMS.findall(label)
            content = save(seen.page, name, tmp_path)
            assert content.startswith(begins[end]) and len(content) > 50, name
            saved.add(end)
        seen.page.keyboard.press("Escape")
        buttons.first.wait_for(state="hidden")
    assert saved == set(begins)


def test_a_page_says_that_its_results_have_changed(visitor, results):
    seen = visitor()
    seen.open("claims")
    table = study_in(results) / "tables" / "claims.csv"
    table.touch()
    banner = seen.page.get_by_text("The results have changed since")
    banner.wait_for(timeout=60_000)
    seen.page.get_by_role("button", name="Show the new ones").click()
    banner.wait_for(state="hidden")


def save(page, name: str, folder: Path) -> bytes:
    """Click the button that saves a file; its content."""
    with page.expect_download() as event:
        page.get_by_role("button", name=f"Download {name}", exact=True).click()
    assert event.value.suggested_filename == name
    event.value.save_as(folder / name)
    return (folder / name).read_bytes()
