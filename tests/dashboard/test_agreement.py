"""The same number stands for the same quantity on every page, with the same sign.

Pages are read as their elements; what two of them say of one quantity must be one text.
"""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from comvae.results.headline import MODEL
from comvae.results.tables.attribution import BASELINE
from dashboard import elements as el
from dashboard.pages import PAGES
from dashboard.study import load_study
from dashboard.text import signed
from tests.dashboard.studies import FEW, write_study
from tests.support import ROOT

DIGITS = ROOT / "results" / "published" / "digits"
EFFECT = r"([+\u2212]?\d+\.\d\d)"


class Reader(el.Ask):
    """Reads a page with choices made; the others are at their first option."""

    def __init__(self, **choices):
        super().__init__("digits", lambda element: self.seen.append(element))
        self.choices, self.seen = choices, []

    def one(self, choice):
        return self.choices.get(choice.key, super().one(choice))

    def each(self, choice, headed=False):
        yield self.one(choice)

    def read(self, study, path):
        [page] = [page for page in PAGES if page.path == path]
        self.seen += page.elements(study, self)
        return list(flat(self.seen))


def flat(elements):
    """Elements and what is in them."""
    for element in elements:
        yield element
        if isinstance(element, el.Columns):
            yield from (each for column in element.columns for each in flat(column))
        elif isinstance(element, el.Group | el.Details):
            yield from flat(element.elements)


def tables(elements, head):
    """The tables that have a column, by their first column."""
    found = [e.as_text() for e in elements if isinstance(e, el.Table)]
    return [t.set_index(t.columns[0]) for t in found if head in t.columns]


@pytest.fixture(scope="module", params=["digits", "synthetic"])
def said(request, tmp_path_factory):
    """What the pages say: texts with their page, by quantity and model."""
    results: Path = DIGITS
    if request.param == "synthetic":
        results = write_study(tmp_path_factory.mktemp("study") / "results", models=FEW)
    study = load_study(results)
    title, own = study.title, study.title(MODEL)
    found = defaultdict(set)

    def note(page, quantity, model, text):
        [shown] = re.findall(rf"^{EFFECT}", text.replace("+0.00", "0.00"))
        found[quantity, model].add((page, shown))

    overview = Reader().read(study, "overview")
    [board] = tables(overview, "Gain")
    for model, row in board.iterrows():
        note("leaderboard", "negative ELBO", model, row["Negative ELBO"])
        note("leaderboard", "amortization gap", model, row["Gap"])
        if model != title(BASELINE):
            note("leaderboard", "gain", model, row["Gain"])
            note("leaderboard", "noise", model, row["noise"])
            note("leaderboard", "log p(x)", model, row["model"])
    words = [e.text for e in overview if isinstance(e, el.Words)]
    headline = next(text for text in words if text.startswith("On digits, the"))
    gain = re.findall(r"\(([+\u2212]\d+\.\d\d) ± ", headline)  # it cannot be told
    for size, side in re.findall(r"(\d+\.\d\d) ± .* (better|worse) than", headline):
        gain.append(("+" if side == "better" else "\u2212") + size)
    [value] = gain
    note("headline", "gain", own, value)
    for quantity, part in {"log p(x)": "the gener", "noise": "weight"}.items():
        [value] = re.findall(rf"{EFFECT} ± \d+\.\d\d by {part}", headline)
        note("headline", quantity, own, value)
    card = next(text for text in words if " nats per image over vanilla" in text)
    note("card", "gain", own, card.split(" gains ")[1])
    gaps = Reader().read(study, "gaps")
    [gains] = [e for e in gaps if isinstance(e, el.Chart) and e.name == "gains"]
    names = {"elbo": "gain", "log_px": "log p(x)", "weight_noise_gap": "noise"}
    for row in gains.draw.args[0].itertuples():
        if row.quantity in names:
            note("gaps", names[row.quantity], row.title, signed(row.effect))
    [spread] = tables(gaps, "Median")
    for model, row in spread.iterrows():
        note("gaps", "amortization gap", model, row["Mean"])
    for metric, quantity in {"elbo": "gain", "log_px": "log p(x)"}.items():
        compare = Reader(quantity=metric).read(study, "compare")
        for model, row in tables(compare, "Gain")[0].iterrows():
            note("compare", quantity, model, row["Gain"])
    for model, row in tables(Reader().read(study, "table-1"), "Negative ELBO")[
        0
    ].iterrows():
        note("table 1", "negative ELBO", model, row["Negative ELBO"])
    runs = Reader(rows="models").read(study, "runs")
    for model, row in tables(runs, "Negative ELBO")[0].iterrows():
        note("runs", "negative ELBO", model, row["Negative ELBO"])
        note("runs", "amortization gap", model, row["Amortization gap"])
    return found


def test_a_quantity_is_one_number_on_all_pages(said):
    differ = {
        key: sorted(texts)
        for key, texts in said.items()
        if len({t for _, t in texts}) > 1
    }
    assert not differ


def test_the_numbers_are_of_several_pages(said):
    pages = {page for texts in said.values() for page, _ in texts}
    assert pages == {
        "leaderboard",
        "headline",
        "card",
        "gaps",
        "compare",
        "table 1",
        "runs",
    }
    for quantity in ("gain", "log p(x)", "noise", "negative ELBO", "amortization gap"):
        counts = [len(texts) for (name, _), texts in said.items() if name == quantity]
        assert min(counts) >= 2, quantity
