"""The rivals: what closes vanilla's amortization gap, and at what price."""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from comvae.results.claims import RIVALS, of_source
from comvae.results.formats import CURVE
from comvae.results.headline import rivals_headline
from comvae.results.quantities import QUANTITIES
from comvae.results.statistics import COVERS
from comvae.results.tables.attribution import BASELINE
from comvae.results.verdicts import verdict
from dashboard import elements as el
from dashboard.charts.price import price
from dashboard.differences import GAIN
from dashboard.pages.claims import judged
from dashboard.study import Study
from dashboard.text import effect_text

CLOSED, ENDS = "Gap closed", ["effect", "ci_low", "ci_high"]
FORMATS = {
    "Gap": ".2f",
    "ELBO": "+.2f",
    "log p(x)": "+.2f",
    "encode_seconds": ",.3g",
    "decoder_evaluations": ",.0f",
    "train_seconds": ",.1f",
    "parameters": ",.0f",
    "memory": ",.1f",
}
"""The columns of numbers in their order, and how these are written."""


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.of("rivals", dataset)
    if here is None:
        yield from study.lacking("rivals")
        return
    rows = here.sort_values("effect", ascending=False)
    rows = rows.rename(columns={"amortization_gap": "gap"})
    rows["title"] = rows["model"].map(study.title)
    said = rivals_headline(here, study.titles, dataset)
    yield el.Text(said or "No gap is measured beside vanilla's yet.")
    yield from _chart(study, rows, dataset, said)
    yield from _table(study, rows, dataset)
    yield from _claims(study, dataset)


def _chart(
    study: Study, rows: pd.DataFrame, dataset: str, said: str
) -> Iterator[el.Element]:
    drawn = rows.dropna(subset=["gap", "encode_seconds"])
    if drawn.empty:
        yield el.Notice(
            "What encoding costs is not measured: `comvae price` does it, and then "
            "`make tables`."
        )
        return
    beyond = drawn["gap"] + drawn["effect"]  # vanilla's gap, of the seeds of both
    drawn = drawn.assign(
        low=(beyond - drawn["ci_high"]).fillna(drawn["gap"]),
        high=(beyond - drawn["ci_low"]).fillna(drawn["gap"]),
        text=[effect_text(*ends) for ends in drawn[ENDS].itertuples(index=False)],
    )
    curve = study.of("svi", dataset)
    yield from study.damage("svi")
    curve = pd.DataFrame(columns=CURVE.columns) if curve is None else curve
    curve = curve.rename(columns={"amortization_gap": "gap"})
    yield el.Heading("The gap, and what encoding costs")
    yield el.Chart("price", partial(price, drawn, curve), said or "Gaps by their cost.")
    text = (
        "How to read it: further down is a narrower gap, further left a cheaper "
        "encoder. The line through a mark is the 95% interval of its difference to "
        "vanilla, paired over seeds. Seconds are those of one machine, on test images."
    )
    if not curve.empty:
        text += (
            " The dashed line is what steps from vanilla's q(z|x) reach in their time: "
            "a method below it is worth its own."
        )
    yield el.Caption(text)


def _table(study: Study, rows: pd.DataFrame, dataset: str) -> Iterator[el.Element]:
    """Gains and price of every model."""
    attribution = study.of("attribution", dataset)
    yield from study.damage("attribution")
    shown = rows.set_index("model").rename(columns={"effect": CLOSED, "gap": "Gap"})
    for part, name in (("elbo", "ELBO"), ("log_px", "log p(x)")):
        if attribution is not None:
            test = attribution["split"].eq("test") & attribution["part"].eq(part)
            shown[name] = attribution[test].set_index("model")["effect"]
    told = rows[ENDS].itertuples(index=False)
    shown["Beside vanilla"] = [
        "the reference" if row.model == BASELINE else GAIN[verdict(row._asdict())]
        for row in rows.itertuples()
    ]
    names = {name: QUANTITIES[name].title for name in FORMATS if name in QUANTITIES}
    texts = {CLOSED: [effect_text(*ends) for ends in told]}
    order = ["title", CLOSED, "Beside vanilla", *FORMATS]
    table = shown[[name for name in order if name in shown]]
    table = table.rename(columns={"title": "Model"} | names).reset_index(drop=True)
    formats = {names.get(name, name): form for name, form in FORMATS.items()}
    yield el.Heading("Gains and prices")
    says = f"{len(table)} models on {dataset}: what they gain, and what they cost."
    yield el.SortableTable(table, says, formats, texts)
    yield el.Caption(
        "Nats per image on test images. Gains over vanilla, plus is better, are paired "
        "over seeds: in the amortization gap, with its 95% interval, in ELBO, and in "
        f"log p(x), which is the generative model's. {COVERS} The price, of one seed: "
        "seconds to encode 1,000 images, decoder evaluations for each of them, seconds "
        "of training, MB of weights and of tensors beside them (docs/rivals.md)."
    )
    yield el.File("tables/rivals.csv")


def _claims(study: Study, dataset: str) -> Iterator[el.Element]:
    """What the rivals' papers claim, with verdicts."""
    claims = study.of("claims", dataset)
    yield from study.damage("claims")
    if claims is None:
        return
    theirs = claims[claims["claim"].map(of_source) == RIVALS]
    if not theirs.empty:
        yield el.Heading("What their papers claim")
        yield from judged(theirs)
        yield el.Link("claims", "More: Claims", {"dataset": dataset})
