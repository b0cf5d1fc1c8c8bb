"""From the tables to what a page says: rows of one split, their text, their message."""

import math
from dataclasses import dataclass

import pandas as pd

from dashboard import data

METRICS = {
    "negative_elbo": "Negative ELBO",
    "reconstruction": "Reconstruction",
    "latent_kl": "Latent KL",
}
LOWER_IS_BETTER = ("negative_elbo", "reconstruction")
SPLITS = {
    "test": "Test",
    "train": "Train",
    "train-running": "Train, running average",
}
SPLIT_NOTES = {
    "test": "One pass over the whole test split after training.",
    "train": "One pass over the whole training split after training.",
    "train-running": "Average over the last epoch while training, which is what the "
    "paper's training rows seem to be.",
}
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class View:
    """What is looked at: one dataset and one split."""

    dataset: str
    split: str


def models_in_order(table1: pd.DataFrame, cells: pd.DataFrame | None) -> list[str]:
    """Every model of the study, in the order of table1.csv, then of cells.csv."""
    names = list(table1["model"])
    if cells is not None:
        names += list(cells["model"])
    return list(dict.fromkeys(names))


def metric_rows(
    table1: pd.DataFrame,
    cells: pd.DataFrame | None,
    titles: dict[str, str],
    view: View,
    metric: str,
) -> pd.DataFrame:
    """One row per model of the dataset, in the study's order, finished or not.

    Columns: model, title, mean, low, high (the 95% interval), n_seeds, planned (seeds
    of the study, NaN if unknown), paper, difference (mean - paper), note (why seeds are
    absent, else empty). All but text and counts in nats per image.
    """
    ours = table1[table1["dataset"] == view.dataset]
    planned = None if cells is None else cells[cells["dataset"] == view.dataset]
    models = models_in_order(ours, planned)
    ours = ours[(ours["split"] == view.split) & (ours["metric"] == metric)]
    rows = ours.set_index("model").reindex(models)
    rows = rows.rename(columns={"ci_low": "low", "ci_high": "high"})
    rows["n_seeds"] = rows["n_seeds"].fillna(0)
    rows["title"] = [titles.get(model, model) for model in models]
    rows["difference"] = rows["mean"] - rows["paper"]
    absent = {} if planned is None else _absent(planned)
    if planned is None:
        rows["planned"] = math.nan
    else:
        rows["planned"] = planned["model"].value_counts().reindex(models).fillna(0)
    rows["note"] = [
        _note(absent.get(model, ""), count)
        for model, count in zip(models, rows["n_seeds"], strict=True)
    ]
    kept = ["title", "mean", "low", "high", "n_seeds", "planned"]
    return rows[[*kept, "paper", "difference", "note"]].reset_index(names="model")


def _absent(cells: pd.DataFrame) -> dict[str, str]:
    """What became of each model's unfinished seeds, such as `1 failed, 2 missing`."""
    unfinished = cells[cells["status"] != "finished"]
    return {
        model: ", ".join(_counts(status))
        for model, status in unfinished.groupby("model", sort=False)["status"]
    }


def _counts(status: pd.Series) -> list[str]:
    counts = status[status != "finished"].value_counts()
    return [f"{n} {name or 'of unknown status'}" for name, n in counts.items()]


def _note(absent: str, finished: float) -> str:
    if finished == 0:
        return "no result: " + (absent or "no finished run")
    return absent


def display_table(
    table1: pd.DataFrame,
    cells: pd.DataFrame | None,
    titles: dict[str, str],
    view: View,
) -> pd.DataFrame:
    """Table 1 as text, one row per model.

    Where the paper has values the columns have two levels: the term, then ours, paper
    and difference; elsewhere one level, the term.
    """
    columns: dict[tuple[str, str], list[str]] = {}
    for metric in data.TERMS:  # in the paper's order
        name = METRICS[metric]
        rows = metric_rows(table1, cells, titles, view, metric)
        columns.setdefault(("", "Model"), rows["title"].tolist())
        columns.setdefault(
            ("", "Seeds"), [seeds_text(row) for row in rows.itertuples()]
        )
        columns[name, "ours"] = [ours_text(row) for row in rows.itertuples()]
        if rows["paper"].notna().any():
            columns[name, "paper"] = [number(x) for x in rows["paper"]]
            columns[name, "difference"] = [signed(x) for x in rows["difference"]]
    table = pd.DataFrame(columns)
    if "paper" not in table.columns.get_level_values(1):
        table.columns = [metric or head for metric, head in table.columns]
    return table


def seeds_text(row) -> str:
    """How many seeds stand behind a row, and what became of the others."""
    text = f"{row.n_seeds:.0f}"
    if not math.isnan(row.planned):
        text += f" of {row.planned:.0f}"
    absent = row.note.removeprefix("no result: ")
    return f"{text}, {absent}" if absent else text


def ours_text(row) -> str:
    """The mean of a row with its 95% interval, or that there is none."""
    if math.isnan(row.mean):
        return "no result"
    if math.isnan(row.low) or math.isnan(row.high):
        return f"{number(row.mean)} (no interval)"
    above, below = row.high - row.mean, row.mean - row.low
    if math.isclose(above, below, abs_tol=0.005):
        return f"{number(row.mean)}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{number(above)}"
    return f"{number(row.mean)} [{number(row.low)}, {number(row.high)}]"


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, or a dash for NaN; what rounds to 0 has none."""
    if math.isnan(value):
        return NOTHING
    return f"{value:z,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """A difference with its sign, or a dash for NaN."""
    text = number(value)
    return f"+{text}" if value > 0 and text != number(0) else text


def finding(rows: pd.DataFrame, metric: str) -> str:
    """What the rows of one metric say, in one or two sentences for the page and `alt`.

    It names the lowest mean together with every model whose interval overlaps its own,
    so that nothing is called better inside the noise.
    """
    name = METRICS[metric].replace("Negative", "negative")
    shown = rows[rows["mean"].notna()]
    if shown.empty:
        return f"No model has a finished run with a {name} here."
    best, worst = shown.loc[shown["mean"].idxmin()], shown.loc[shown["mean"].idxmax()]
    if len(shown) == 1:
        return f"{best['title']} has a {name} of {_nats(best)}."
    text = (
        f"The {name} runs from {_nats(best)} ({best['title']}) to {_nats(worst)} "
        f"({worst['title']})."
    )
    if metric not in LOWER_IS_BETTER:
        return text
    others = shown[shown["model"] != best["model"]]
    unsure = others[others["low"].isna()] if pd.notna(best["high"]) else others
    if len(unsure):
        return (
            f"{text} Where one seed stands alone, nothing tells how sure the order is."
        )
    rivals = others[others["low"] <= best["high"]]["title"].tolist()
    if not rivals:
        return f"{text} The 95% interval of the lowest overlaps no other."
    return f"{text} The 95% interval of the lowest overlaps that of {_listed(rivals)}."


def _nats(row: pd.Series) -> str:
    return f"{number(row['mean'])} nats per image"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else "; ".join(names[:-1]) + " and " + names[-1]


def progress(cells: pd.DataFrame) -> str:
    """How many runs are finished, and what became of the others."""
    finished = (cells["status"] == "finished").sum()
    text = f"{finished} of {len(cells)} runs finished"
    return ", ".join([text, *_counts(cells["status"])])


def absent_runs(
    cells: pd.DataFrame, titles: dict[str, str], dataset: str
) -> pd.DataFrame:
    """The runs of a dataset that are not finished, and where to look, as text."""
    rows = cells[(cells["dataset"] == dataset) & (cells["status"] != "finished")]
    return pd.DataFrame(
        {
            "Model": [titles.get(model, model) for model in rows["model"]],
            "Seed": [number(seed, 0) for seed in rows["seed"]],
            "Status": rows["status"].tolist(),
            "Detail": rows["detail"].tolist(),
        }
    )
