"""The pages of the site: which blocks each of them holds, for one dataset.

A new page is one function here and one entry in PAGES.
"""

from collections.abc import Callable
from dataclasses import dataclass

from comvae.errors import ResultsError
from dashboard import comparison, decomposition, pictures, runs, summary
from dashboard.findings import BASELINE, METRIC
from dashboard.sections import claims, compare, gaps, overview, table1
from dashboard.sections.blocks import (
    Block,
    Caption,
    Heading,
    Notice,
    Picture,
    Pictures,
    Subheading,
    TableFile,
    Text,
)
from dashboard.site.material import Material
from dashboard.site.provenance import provenance
from dashboard.study import bounds_alone

COMPARED = (METRIC, "log_px", "amortization_gap")
SPREAD = ("amortization_gap", "approximation_gap")
PICTURES = {
    "reconstructions": "test images above their reconstructions",
    "samples": "images decoded from draws of the prior over z",
}


def overview_page(found: Material, dataset: str) -> list[Block]:
    """What the study found."""
    tables, study = found.tables, found.study
    progress, absent = table1.progress(tables["cells"], study.titles, dataset)
    blocks: list[Block] = [overview.INTRO, *filter(None, [progress, absent])]
    if tables["runs"] is None:
        blocks += found.lacking("runs", dataset)
    else:
        blocks += overview.answers(
            study, tables["runs"], tables["attribution"], tables["gaps"], dataset
        )
    blocks += overview.chart(
        found.of("table1", dataset), tables["cells"], study, dataset
    )
    return blocks + overview.claims(tables["claims"], dataset)


def table1_page(found: Material, dataset: str) -> list[Block]:
    """Every split of Table 1."""
    rows, cells = found.of("table1", dataset), found.tables["cells"]
    if rows is None:
        return [table1.INTRO, *found.lacking("table1", dataset)]
    titles = {model: found.study.title(model) for model in rows["model"]}
    titles |= found.study.titles
    progress, absent = table1.progress(cells, titles, dataset)
    blocks: list[Block] = [table1.INTRO, *filter(None, [progress, absent])]
    here = None if cells is None else cells[cells["dataset"] == dataset]
    models = summary.models_in_order(rows, here)
    for split in table1.splits_of(rows, dataset):
        view = summary.View(dataset, split)
        metric_rows = summary.metric_rows(rows, cells, titles, view, METRIC)
        blocks += table1.chart(metric_rows, view, METRIC, models)
        # the table stands below its chart, in the same section
        blocks += table1.table(rows, cells, titles, view)[1:]
    return [*blocks, TableFile("table1")]


def claims_page(found: Material, dataset: str) -> list[Block]:
    """The paper's claims and their verdicts."""
    rows = found.of("claims", dataset)
    if rows is None:
        return [claims.INTRO, *found.lacking("claims", dataset)]
    return [claims.INTRO, *claims.blocks(rows)]


def gaps_page(found: Material, dataset: str) -> list[Block]:
    """The gaps on test images."""
    study, rows = found.study, found.of("gaps", dataset)
    if not study.measures_gaps:
        return [gaps.INTRO, gaps.NONE_MEASURED]
    if rows is None:
        return [gaps.INTRO, *found.lacking("gaps", dataset)]
    split = gaps.splits_of(rows, dataset)[0]
    here = rows[rows["split"] == split]
    measured = decomposition.measured(here, study)
    blocks: list[Block] = [gaps.INTRO, *gaps.absent(here, study, measured)]
    if not measured:
        return blocks
    models = gaps.shown_first(study, measured)
    here = here[here["model"].isin(models)]
    blocks.append(
        gaps.stack_heading(f"{dataset}, {gaps.SPLITS.get(split, split).lower()}")
    )
    for shown, words in gaps.SHOWN.items():
        blocks.append(Subheading(words))
        blocks += gaps.stack(here, study, shown)
    if "attribution" in found.damaged:
        blocks += found.lacking("attribution", dataset)
    parts = gaps.of(found.tables["attribution"], (dataset, split), models)
    blocks += gaps.gains(parts, study)
    blocks.append(Heading("Image by image"))
    for gap in SPREAD:
        blocks.append(Subheading(decomposition.GAPS[gap]))
        blocks += gaps.spread(here, study, gap)
    return [*blocks, *gaps.bounds(here, study), TableFile("gaps")]


def compare_page(found: Material, dataset: str) -> list[Block]:
    """Vanilla beside every other model."""
    study = found.study
    here = [run for run in study.index.runs if run.dataset == dataset]
    ends = bounds_alone(study)
    models = [m for m in study.in_order(run.model for run in here) if m not in ends]
    if BASELINE in models:  # else the first model is what the others stand beside
        models = [BASELINE, *(model for model in models if model != BASELINE)]
    if len(models) < 2:
        return [Notice("Two models are needed for a comparison; here is one.")]
    chosen = [run for run in here if run.model in models]
    intro = f"Every model beside {study.title(models[0])}, from the same seeds."
    blocks: list[Block] = [Text(intro), Heading("Training")]
    blocks += compare.curves(chosen, study, models, METRIC)
    blocks.append(Heading("Differences on test images, seed by seed"))
    table = found.tables["runs"]
    if table is None:
        blocks += found.lacking("runs", dataset)
    else:
        for metric in COMPARED if study.measures_gaps else COMPARED[:1]:
            view = (dataset, "test", metric)
            blocks.append(Subheading(comparison.METRICS[metric]))
            blocks += compare.differences(table, study, view, models)
        blocks.append(compare.HOW_SURE)
    blocks.append(Heading("The amortization gap, image by image"))
    return blocks + compare.images(chosen, study, models, "test", "amortization_gap")


def pictures_page(found: Material, dataset: str) -> list[Block]:
    """What each model makes of the same images, in its first seed that has pictures."""
    blocks: list[Block] = [
        Text(
            "The same test images under every model, each above its reconstruction "
            "from the mean of q(z|x); and images decoded from draws of the prior."
        )
    ]
    here = [run for run in found.study.index.runs if run.dataset == dataset]
    for model in found.study.in_order(run.model for run in here):
        of_model = [run for run in here if run.model == model]
        blocks += _pictures(found, of_model)
    if len(blocks) == 1:
        blocks.append(Notice(f"No run on {dataset} has pictures yet."))
    return blocks


def _pictures(found: Material, of_model: list[runs.Run]) -> list[Block]:
    title = found.study.title(of_model[0].model)
    problems: list[Block] = []
    for run in of_model:
        drawn = []
        for kind, words in PICTURES.items():
            try:
                png = runs.load_picture(run, kind)
                name = f"{run.model}-{kind}"
                if png is not None:
                    path = f"{run.evaluation}/pictures/seed-{run.seed}-{kind}.png"
                    sharp = pictures.enlarged(png, path)
                    says = f"{title}, seed {run.seed}: {words}."
                    drawn.append(Picture(name, sharp, says))
            except ResultsError as error:
                problems.append(Notice(str(error), warning=True))
        if drawn:
            return [Heading(title), *problems, Pictures(tuple(drawn))]
    return problems


def provenance_page(found: Material, dataset: str) -> list[Block]:
    """Where the numbers come from, and all tables to download."""
    tables = [TableFile(name) for name in found.tables]
    return [
        *provenance(found, dataset),
        Heading("Every table"),
        *tables,
        Caption(
            "Comma-separated values, one row per cell, in nats per image; their "
            "columns are explained in results/README.md of the repository."
        ),
    ]


@dataclass(frozen=True)
class Page:
    """One page per dataset: `<file>.html` for the first, `<file>-<dataset>.html`."""

    name: str  # of the dashboard's view
    title: str
    file: str
    blocks: Callable[[Material, str], list[Block]]


PAGES = (
    Page("overview", "Overview", "index", overview_page),
    Page("table1", "Table 1", "table-1", table1_page),
    Page("claims", "Claims", "claims", claims_page),
    Page("gaps", "Gaps", "gaps", gaps_page),
    Page("compare", "Compare", "compare", compare_page),
    Page("pictures", "Pictures", "pictures", pictures_page),
    Page("provenance", "Provenance", "provenance", provenance_page),
)
