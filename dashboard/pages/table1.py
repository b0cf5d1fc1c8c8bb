"""Table 1: ours beside the paper's, per dataset and split."""

from functools import partial

import altair as alt
import pandas as pd

from dashboard import charts, summary, theme
from dashboard.sections.blocks import (
    Block,
    Caption,
    Chart,
    Heading,
    Notice,
    Table,
    Text,
)

INTRO = Text(
    "Every model of the paper's Table 1, retrained across seeds: the mean with its "
    "95% interval over seeds, beside the paper's single value."
)


def splits_of(table1: pd.DataFrame, dataset: str) -> list[str]:
    """The splits of a dataset, the known ones first and in their order."""
    known = table1.loc[table1["dataset"] == dataset, "split"].unique().tolist()
    ordered = [split for split in summary.SPLITS if split in known]
    return ordered + [split for split in known if split not in summary.SPLITS]


def progress(
    cells: pd.DataFrame | None, titles: dict[str, str], dataset: str
) -> tuple[Block | None, Table | None]:
    """How many runs are finished; and which are not, if any."""
    here = None if cells is None else cells[cells["dataset"] == dataset]
    if here is None or here.empty:
        return None, None
    text = f"On {dataset}: {summary.progress(here)}."
    absent = summary.absent_runs(cells, titles, dataset)
    if absent.empty:
        return Caption(text), None
    says = f"{len(absent)} runs on {dataset} are not finished."
    return Notice(text, warning=True), Table(absent, says)


def chart(
    rows: pd.DataFrame, view: summary.View, metric: str, models: list[str]
) -> list[Block]:
    """One term of all models, beside the paper's."""
    name, split = summary.METRICS[metric], summary.SPLITS.get(view.split, view.split)
    message = summary.finding(rows, metric)
    blocks = [
        Heading(f"{name} on {view.dataset}, {split.lower()}"),
        Text(message),
    ]
    if rows[["mean", "paper"]].isna().all(axis=None):
        return blocks
    caption = (
        "How to read it: a filled mark is the mean over our seeds, the line through it "
        "the 95% interval of that mean (Student's t over seeds)."
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    else:
        caption += f" The paper has no value for {view.dataset} and this split."
    caption = f"{caption} {summary.SPLIT_NOTES.get(view.split, '')}".strip()
    draw = partial(_draw, rows, metric, models)
    drawn = Chart(f"{metric}-{view.split}", draw, message)
    return [*blocks, drawn, Caption(caption)]


def _draw(
    rows: pd.DataFrame, metric: str, models: list[str], dark: bool
) -> alt.LayerChart:
    marks = theme.marks(models, dark)
    return charts.intervals(rows, metric, marks, theme.ink(dark))


def table(
    table1: pd.DataFrame,
    cells: pd.DataFrame | None,
    titles: dict[str, str],
    view: summary.View,
) -> list[Block]:
    """All three terms as text."""
    shown = summary.display_table(table1, cells, titles, view)
    text = (
        "Nats per image: mean ± half the width of the 95% interval over seeds. The "
        "negative ELBO is reconstruction + latent KL, without the KL of the weights, "
        "which is a regulariser: the sum still bounds \N{MINUS SIGN}log p(x)."
    )
    if shown.columns.nlevels == 2:
        text += " Difference: ours minus the paper's."
    says = (
        f"Reconstruction, latent KL and their sum for {len(shown)} models on "
        f"{view.dataset}, {view.split}."
    )
    return [Heading("All three terms"), Table(shown, says), Caption(text)]
