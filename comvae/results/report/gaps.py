"""The gaps to read: how large they are, and what a better ELBO consists of."""

import pandas as pd

from comvae.results.report.layout import Page, Section, with_interval
from comvae.study.plan import Plan

SPLITS = {"test": "test images", "train": "training images"}
COLUMNS = {
    "elbo": "ELBO",
    "elbo_optimal": "best ELBO",
    "log_px": "log p(x)",
    "approximation_gap": "approximation",
    "amortization_gap": "amortization",
}
PARTS = {part: COLUMNS[part] for part in COLUMNS if part != "elbo_optimal"}
LEGEND = (
    "Nats per image: mean ± half of the 95% interval over seeds. ELBO = log p(x) - "
    "approximation gap - amortization gap; the best ELBO is that of the best diagonal "
    "Gaussian of each image. Median and 95% quantile are those of the amortization gap "
    "over the images.\n\n"
    "Gains over vanilla are paired over seeds; what improves the ELBO is positive, a "
    "narrower gap too, and the three parts add up to the gain in ELBO."
)
NOT_MEASURED = "This study measures no gaps: its setting `gap.images` is 0."


def gaps_page(plan: Plan, gaps: pd.DataFrame, attribution: pd.DataFrame) -> Page:
    """The gaps of every model, and the parts of its gain over vanilla."""
    title = f"Gaps of the study `{plan.study}`"
    if not plan.gap_images:
        return Page("gaps", title, NOT_MEASURED)
    sections = []
    for dataset in plan.datasets:
        for split, words in SPLITS.items():
            for heading, table, readable in (
                ("gaps on", gaps, _gaps),
                ("gain over vanilla on", attribution, _gains),
            ):
                chosen = (table["dataset"] == dataset) & (table["split"] == split)
                rows = readable(table[chosen], plan.models)
                if len(rows):
                    name = f"{dataset}, {heading} {words}"
                    sections.append(Section(name, rows, printed=split == "test"))
    return Page("gaps", title, LEGEND, sections)


def _gaps(cells: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    rows = []
    for model, group in cells.groupby("model", sort=False):
        by_quantity = group.set_index("quantity")
        row = {"model": titles.get(model, model)}
        for quantity, heading in COLUMNS.items():
            cell = by_quantity.loc[quantity]
            row[heading] = with_interval(cell["mean"], cell["ci_high"], cell["n_seeds"])
        gap = by_quantity.loc["amortization_gap"]
        measured = gap["n_seeds"] > 0
        row["median"] = f"{gap['median']:.2f}" if measured else "-"
        row["95%"] = f"{gap['q95']:.2f}" if measured else "-"
        rows.append(row | {"seeds": f"{gap['n_seeds']:.0f}"})
    return pd.DataFrame(rows)


def _gains(cells: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    rows = []
    for model, group in cells.groupby("model", sort=False):
        row = {"model": titles.get(model, model)}
        for cell in group.itertuples():
            row[PARTS[cell.part]] = with_interval(
                cell.effect, cell.ci_high, cell.n_seeds, sign="+"
            )
        rows.append(row | {"seeds": f"{group['n_seeds'].min():.0f}"})
    return pd.DataFrame(rows)
