"""The study's tables as a paper shows them: texts, a caption, and which are best."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from comvae.results import paths
from comvae.results.quantities import NATS, QUANTITIES, SPLITS
from comvae.results.reading import load_json
from comvae.results.report.pages import (
    IN_TABLE1,
    ON_GAPS,
    SHOWN_GAPS,
    claim_rows,
    departures,
    model_title,
)
from comvae.results.statistics import with_interval
from comvae.results.tables.attribution import PARTS
from comvae.results.verdicts import best_models
from comvae.study.plan import Plan, name_of

INTERVAL = "mean ± half of the 95% interval over seeds, on the same images"
BOLD = "Bold: the best mean, and every model whose paired difference to it is not real."
MODEL, SEEDS = ("Model", ""), ("Seeds", "")
CLAIM_COLUMNS = [
    ("Claim", ""),
    ("Effect of", ""),
    ("Effect", NATS),
    SEEDS,
    ("p", ""),
    ("p", "Holm"),
    ("Verdict", ""),
]


@dataclass(frozen=True)
class PaperTable:
    """A table of texts, with columns of two levels: title, and unit or what it is."""

    name: str
    caption: str
    cells: pd.DataFrame
    bold: pd.DataFrame  # like `cells`: whether a cell is among the best of its column
    layout: str  # the columns as LaTeX's tabular takes them


def paper_tables(
    results: Path, plan: Plan, tables: dict[str, pd.DataFrame]
) -> Iterator[PaperTable]:
    """Table 1, gaps, gains over vanilla and claims, by dataset and split."""
    rivals = _rivals(results, plan)
    measured = bool(plan.gap_images)
    kinds = (
        ("table1", "table1", IN_TABLE1, list(QUANTITIES)),
        ("gaps", "gaps", ON_GAPS if measured else (), SHOWN_GAPS),
        ("gains", "attribution", ON_GAPS if measured else (), PARTS),
    )
    for dataset in plan.datasets:
        seeds = {s for b in plan.blocks if b.dataset == dataset for s in b.seeds}
        counted = name_of(tuple(sorted(seeds))).replace("-", " ", 1) if seeds else ""
        about = f"Study {plan.study}, {dataset}, {counted}"
        differs = departures(tables["claims"]).get(dataset, "")
        for name, source, splits, shown in kinds:
            table = tables[source]
            for split in splits:
                rows = table[(table["dataset"] == dataset) & (table["split"] == split)]
                if rows.empty:
                    continue
                cells = _cells(plan, rows, shown)
                bold = pd.DataFrame(False, cells.index, cells.columns)
                caption = f"{about}, {SPLITS[split].images}: {INTERVAL}. "
                if name == "gains":
                    caption += "Gain over vanilla, paired: positive improves the ELBO."
                else:
                    for quantity in map(QUANTITIES.get, shown):
                        column = (quantity.title, quantity.unit)
                        if column in cells and quantity.better:
                            where = (dataset, split, quantity.name)
                            best = best_models(tables["runs"], *where, rivals)
                            bold[column] = cells.index.isin(best)
                    caption += f"{_directions(cells)} {BOLD}"
                if name == "table1":
                    caption += f" {differs}"
                layout = "l" + "r" * (cells.shape[1] - 1)
                yield PaperTable(
                    f"{name}-{dataset}-{split}", caption, cells, bold, layout
                )
        yield _claims(f"{about}: ", dataset, tables["claims"], differs)


def _rivals(results: Path, plan: Plan) -> set[str]:
    """The study's models but those that are evaluated with another encoder than their
    own: ends of the scale."""
    configs = {
        b.model: load_json(paths.run_folder(results, b.folder) / paths.CONFIG) or {}
        for b in plan.blocks
    }
    return {
        model
        for model, config in configs.items()
        if config.get("options", {}).get("evaluated_encoder", "model") == "model"
    }


def _cells(plan: Plan, rows: pd.DataFrame, shown: Iterable[str]) -> pd.DataFrame:
    """A row of texts for each model; the columns are those of `shown` that it has."""
    [kind] = {"metric", "quantity", "part"} & set(rows.columns)
    value, sign = ("effect", "+") if kind == "part" else ("mean", "")
    lines = {}
    for model, cells in rows.groupby("model", sort=False):
        line = {MODEL: model_title(plan, model, cells)}
        for cell in cells.to_dict("records"):
            quantity = QUANTITIES[cell[kind]]
            text = with_interval(cell[value], cell["ci_high"], cell["n_seeds"], sign)
            line[quantity.title, quantity.unit] = text or "-"
            if pd.notna(cell.get("paper")):
                line[quantity.title, "paper"] = f"{cell['paper']:.2f}"
        lines[model] = line | {SEEDS: f"{cells['n_seeds'].max():.0f}"}
    titles = [(QUANTITIES[name].title, QUANTITIES[name].unit) for name in shown]
    order = [c for title, unit in titles for c in ((title, unit), (title, "paper"))]
    there = {column for line in lines.values() for column in line}
    columns = [column for column in (MODEL, *order, SEEDS) if column in there]
    texts = [[line.get(column, "-") for column in columns] for line in lines.values()]
    return pd.DataFrame(texts, list(lines), pd.MultiIndex.from_tuples(columns))


def _directions(cells: pd.DataFrame) -> str:
    """`Lower is better: Reconstruction.` for those of the columns that have a best."""
    titles = cells.columns.get_level_values(0)
    parts = []
    for better in ("lower", "higher"):
        which = [
            quantity.title
            for quantity in QUANTITIES.values()
            if quantity.better == better and quantity.title in titles
        ]
        if which:
            parts.append(f"{better.capitalize()} is better: {', '.join(which)}.")
    return " ".join(parts)


def _claims(about: str, dataset: str, claims: pd.DataFrame, differs: str) -> PaperTable:
    cells = claim_rows(claims[claims["dataset"] == dataset])
    cells.columns = pd.MultiIndex.from_tuples(CLAIM_COLUMNS)
    return PaperTable(
        f"claims-{dataset}",
        f"{about}the paper's claims; effects are paired over seeds, ± half of the 95% "
        f"interval; p values are corrected for the number of claims (Holm). {differs}",
        cells,
        pd.DataFrame(False, cells.index, cells.columns),
        r"p{0.3\linewidth}p{0.2\linewidth}rrrrl",
    )
