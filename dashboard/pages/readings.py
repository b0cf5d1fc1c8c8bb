"""Which reading of the paper reproduces each row of its Table 1, and how well."""

from collections.abc import Iterator

import pandas as pd

from comvae.results.quantities import QUANTITIES
from dashboard import elements as el
from dashboard import summary
from dashboard.study import Study
from dashboard.text import number, signed, with_interval


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    readings = study.of("readings", dataset)
    if readings is None:
        yield from study.lacking("readings")
        return
    yield el.Text(_best(study, readings, dataset))
    yield el.Text(
        "What the paper leaves open is read in several ways. The pattern of a row is "
        "what becomes of vanilla's L_rec and D_KL in it: differences and ratios, on "
        "the row of training and on that of test images. The distance is the root mean "
        "square of all that a reading's pattern differs in from the paper's, on MNIST "
        "and on EMNIST, in per cent; that of vanilla itself is the size of what there "
        "is to reproduce. docs/paper.md has the formula."
    )
    split = ask.one(summary.split_choice(readings))
    papers = readings["paper_dataset"].unique().tolist()
    paper = ask.one(el.Choice("The paper's table on", "paper", papers))
    here = readings[readings["split"] == split]
    for row, of_row in here[here["paper_dataset"] == paper].groupby("row", sort=False):
        yield el.Subheading(study.title(row))
        says = f"{len(of_row)} readings of {study.title(row)}, beside the paper's row."
        yield el.Table(_table(study, of_row), says)
    yield el.Caption(
        f"{summary.split_title(split)}, ours on {dataset} and the paper's on {paper}. "
        "Terms and differences to vanilla in nats per image; images of another size "
        "have other nats, and the distance takes those of vanilla as its unit. The "
        "distance is the mean over seeds with its 95% interval, over both splits."
    )
    yield el.File("tables/readings.csv")


def _best(study: Study, readings: pd.DataFrame, dataset: str) -> str:
    """The best reading of each row in one sentence."""
    parts = []
    for row, of_row in readings.groupby("row", sort=False):
        best = of_row[of_row["best"] == "yes"]
        if best.empty:
            parts.append(f"none of {study.title(row)} has finished")
            continue
        found = best.iloc[0]
        name = "as it stands" if found["model"] == row else study.title(found["model"])
        off, vanilla = found["distance"], found["vanilla_distance"]
        at_best = "" if off < vanilla else "none, and at best "
        parts.append(
            f"{study.title(row)}: {at_best}{name}, {number(off, 1)}% off where vanilla "
            f"itself is {number(vanilla, 1)}% off"
        )
    return (
        f"The readings that come closest to Table 1 on {dataset}: {'; '.join(parts)}."
    )


def _table(study: Study, readings: pd.DataFrame) -> pd.DataFrame:
    """The readings of one row of Table 1 as text, and the paper's row below them."""
    rows = [
        {
            ("", "Reading"): study.title(cell["model"]),
            ("", "Distance, %"): with_interval(
                *cell[["distance", "ci_low", "ci_high"]]
            ),
            ("", "Seeds"): number(cell["n_seeds"], 0),
        }
        | _terms(cell, "")
        for _, cell in readings.iterrows()
    ]
    paper = {("", "Reading"): "The paper", ("", "Distance, %"): "", ("", "Seeds"): ""}
    return pd.DataFrame([*rows, paper | _terms(readings.iloc[0], "paper_")])


def _terms(cell: pd.Series, prefix: str) -> dict[tuple[str, str], str]:
    return {
        (QUANTITIES[term].heading, head): text(cell[f"{prefix}{term}{kind}"])
        for term in ("reconstruction", "latent_kl")
        for head, kind, text in (
            ("nats", "", number),
            ("difference", "_difference", signed),
            ("ratio", "_ratio", number),
        )
    }
