"""Table 1 to read."""

import pandas as pd

from comvae.results.report.layout import Page, Section
from comvae.study.plan import Plan

SHOWN_SPLITS = {
    "train-running": "training images, average over the last epoch",
    "test": "test images",
}
HEADINGS = {"reconstruction": "L_rec", "latent_kl": "D_KL", "negative_elbo": "sum"}
LEGEND = (
    "Nats per image: mean ± half of the 95% interval over seeds, and the paper's value "
    "in brackets where there is one. Lower is better."
)


def table1_page(plan: Plan, table1: pd.DataFrame) -> Page:
    """Ours beside the paper's, by dataset and split."""
    sections = [
        Section(
            f"{dataset}, {words}",
            readable(of_dataset[of_dataset["split"] == split], plan.models),
        )
        for dataset, of_dataset in table1.groupby("dataset", sort=False)
        for split, words in SHOWN_SPLITS.items()
    ]
    return Page("table1", f"Table 1 of the study `{plan.study}`", LEGEND, sections)


def readable(cells: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """One row per model of one dataset and split: `mean ± half interval [paper]`."""
    rows = []
    for model, metrics in cells.groupby("model", sort=False):
        row = {"model": titles.get(model, model)}
        row |= {HEADINGS[cell.metric]: _shown(cell) for cell in metrics.itertuples()}
        rows.append(row | {"seeds": str(metrics["n_seeds"].min())})
    return pd.DataFrame(rows)


def _shown(cell: "pd.core.frame.Pandas") -> str:
    text = f"{cell.mean:.2f}" if cell.n_seeds else "not finished"
    if cell.n_seeds > 1:
        text += f" ± {cell.ci_high - cell.mean:.2f}"
    return text if pd.isna(cell.paper) else f"{text} [{cell.paper:.2f}]"
