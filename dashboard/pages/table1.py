"""Table 1: ours beside the paper's, per dataset and split."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

from comvae.results.quantities import SPLITS
from comvae.results.statistics import COVERS
from dashboard import elements as el
from dashboard import summary
from dashboard.charts.means import means
from dashboard.study import Study


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text(
        "Every model of the paper's Table 1, retrained across seeds: the mean with its "
        "95% interval over seeds, beside the paper's single value."
    )
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.of("table1", dataset)
    if here is None:
        yield from study.lacking("table1")
        return
    yield from summary.departures(study, dataset)
    chosen = ask.each(summary.split_choice(here), headed=True)
    metrics = summary.in_order(here["metric"])
    metric = ask.one(
        el.Choice("Term in the chart", "metric", metrics, summary.title_of)
    )
    yield from summary.absent_runs(study, dataset)
    for split in chosen:
        yield from _chart(study, dataset, split, metric)
        yield from _table(study, dataset, split)
    yield el.File("tables/table1.csv")


def _chart(study: Study, dataset: str, split: str, metric: str) -> Iterator[el.Element]:
    """One metric of all models, beside the paper's."""
    rows = summary.metric_rows(study, dataset, split, metric)
    title = summary.split_title(split).lower()
    yield el.Heading(f"{summary.title_of(metric)} on {dataset}, {title}")
    message = summary.finding(rows, metric)
    yield el.Text(message)
    if rows[["mean", "paper"]].isna().all(axis=None):
        return
    yield el.Chart(f"{metric}-{split}", partial(means, rows, metric), message)
    caption = (
        "How to read it: a filled mark is the mean over our seeds, the line through it "
        f"the 95% interval of that mean (Student's t over seeds). {COVERS}"
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    else:
        caption += f" The paper has no value for {dataset} and this split."
    if split in SPLITS:
        caption += f" {SPLITS[split].description}"
    yield el.Caption(caption)


def _table(study: Study, dataset: str, split: str) -> Iterator[el.Element]:
    """All metrics as text."""
    shown = summary.display_table(study, dataset, split)
    yield el.Subheading("All terms")
    yield shown
    text = (
        "Nats per image: mean ± half the width of the 95% interval over seeds. The "
        "negative ELBO is reconstruction + latent KL, without the KL of the weights, "
        "which is a regulariser: the sum still bounds \N{MINUS SIGN}log p(x)."
    )
    if any(cell.endswith(summary.BEST) for cell in chain(*shown.texts.values())):
        text += (
            f" {summary.BEST}: the best mean, and those that do not really differ from "
            "it, paired over seeds."
        )
    if shown.rows.columns.nlevels == 2:
        text += " Difference: ours minus the paper's."
    if "Source" in shown.rows.columns.get_level_values(-1):
        text += (
            " External models are others' results, as their source gives them; they "
            "take no part in claims and comparisons."
        )
    yield el.Caption(text)
