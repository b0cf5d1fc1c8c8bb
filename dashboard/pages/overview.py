"""The first page: what the study is, how far it is, and what it found."""

from functools import partial

import altair as alt
import pandas as pd

from dashboard import charts, findings, summary, theme
from dashboard.differences import RULE
from dashboard.sections.blocks import (
    Block,
    Caption,
    Card,
    Cards,
    Chart,
    Heading,
    Link,
    Notice,
    Text,
)
from dashboard.study import Study, bounds_alone

INTRO = Text(
    "Variational auto-encoders whose encoders have fixed, random, or dynamic "
    "weights, each trained across seeds. Do they explain unseen images better, and "
    "is it because they narrow the amortization gap?"
)
NO_RUNS = Notice("The findings need tables/runs.csv, which is not there or damaged.")
VERDICTS = ("supported", "contradicted", "inconclusive", "not run")


def answers(
    study: Study,
    runs: pd.DataFrame,
    attribution: pd.DataFrame | None,
    gaps: pd.DataFrame | None,
    dataset: str,
) -> list[Block]:
    """The three findings, and how sure they are."""
    left_out = bounds_alone(study)
    found = findings.lead(runs, dataset, left_out)
    if found is None:
        return [Notice(f"No model has a finished run on {dataset} yet.")]
    model = findings.candidate(found)
    here = (("dataset", dataset),)
    pair = here
    if model is not None:
        pair = (*here, ("models", f"{findings.BASELINE},{model}"))
    cards = (
        Card(
            findings.best_model(study, runs, dataset, found),
            Link("table1", "More: Table 1", here),
        ),
        Card(
            findings.against_vanilla(study, runs, dataset, model),
            Link("compare", "More: Compare", pair),
        ),
        Card(
            findings.amortization(study, attribution, gaps, dataset, model),
            Link("gaps", "More: Gaps", here),
        ),
    )
    text = f"How sure is it: {RULE}"
    absent = study.in_order(left_out & set(runs["model"]))
    if absent:
        names = "; ".join(map(study.title, absent))
        text += f" Not among the rivals, since no encoder gives their q(z|x): {names}."
    return [Cards(cards), Caption(text)]


def chart(
    table1: pd.DataFrame | None,
    cells: pd.DataFrame | None,
    study: Study,
    dataset: str,
) -> list[Block]:
    """The test negative ELBO of all models, if one has a result."""
    if table1 is None or table1.empty:
        return []
    view = summary.View(dataset, "test")
    titles = {model: study.title(model) for model in table1["model"]}
    rows = summary.metric_rows(table1, cells, titles, view, findings.METRIC)
    rows = rows[~rows["model"].isin(bounds_alone(study))].reset_index(drop=True)
    if rows["mean"].isna().all():
        return []
    message = summary.finding(rows, findings.METRIC)
    caption = (
        "How to read it: a filled mark is the mean over seeds, the line its 95% "
        "interval. Lower is better. Overlapping intervals decide nothing, since seeds "
        "are paired: Compare shows the differences."
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    return [
        Heading("All models, on images that none has seen"),
        Chart("means", partial(_draw, rows), message),
        Caption(caption),
    ]


def _draw(rows: pd.DataFrame, dark: bool) -> alt.LayerChart:
    marks = theme.marks(rows["model"].tolist(), dark)
    return charts.intervals(rows, findings.METRIC, marks, theme.ink(dark))


def claims(table: pd.DataFrame | None, dataset: str) -> list[Block]:
    """How many of the paper's claims have which verdict, if the table is there."""
    if table is None:
        return []
    verdicts = table[table["dataset"] == dataset].drop_duplicates("claim")["verdict"]
    if verdicts.empty:
        return []
    counts = verdicts.value_counts()
    words = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    return [
        Heading("The paper's claims"),
        Text(f"Of {len(verdicts)} claims on {dataset}: {words}."),
        Link("claims", "More: Claims", (("dataset", dataset),)),
    ]
