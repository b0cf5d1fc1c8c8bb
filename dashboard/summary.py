"""From table1.csv to what is said of one dataset and split: rows, text, message."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from comvae.results.headline import MODEL
from comvae.results.quantities import QUANTITIES, SPLITS
from comvae.results.tables.attribution import BASELINE
from comvae.results.verdicts import best_models, in_words
from dashboard import elements as el
from dashboard.study import Study, bounds_alone
from dashboard.text import number, with_interval

BEST = "\N{BLACK STAR}"
METRIC = "negative_elbo"  # what models are compared by, unless the reader chooses


def split_title(split: str) -> str:
    """The title of a split; an unknown one is its own."""
    return SPLITS[split].title if split in SPLITS else split


def split_choice(table: pd.DataFrame | None) -> el.Choice:
    """The splits of a table: test first, then the other known ones in their order."""
    there = ["test"] if table is None else table["split"].unique().tolist()
    known = [split for split in ["test", *SPLITS] if split in there]
    splits = list(dict.fromkeys([*known, *there]))
    return el.Choice("Split", "split", splits, split_title)


def title_of(quantity: str) -> str:
    """The title of a quantity; an unknown one is its own."""
    found = QUANTITIES.get(quantity)
    return found.title if found else quantity.replace("_", " ")


def with_unit(quantity: str) -> str:
    """`Latent KL, nats per image`."""
    return ", ".join(filter(None, [title_of(quantity), QUANTITIES[quantity].unit]))


def in_order(names: Iterable[str]) -> list[str]:
    """The quantities among `names` in their order, METRIC first."""
    there = set(names)
    found = [name for name in QUANTITIES if name in there]
    return sorted(found, key=lambda name: name != METRIC)


def measured_in(*tables: pd.DataFrame) -> list[str]:
    """The quantities that have a value in one of the tables, METRIC first."""
    return in_order(
        name for table in tables for name in table.dropna(axis="columns", how="all")
    )


def metric_rows(study: Study, dataset: str, split: str, metric: str) -> pd.DataFrame:
    """One row per model of the dataset, in the study's order, finished or not.

    Columns: model, title, mean, low, high (the 95% interval), n_seeds, planned (seeds
    of the study, NaN if unknown), paper, difference (mean - paper), note (why seeds are
    absent, else empty), source (of external models, else empty). All but text and
    counts in the metric's unit. External models follow those of the study, where they
    have a value of the split.
    """
    ours, planned = study.of("table1", dataset), study.of("cells", dataset)
    own = [*ours.loc[ours["source"] == "", "model"]]
    own += [] if planned is None else [*planned["model"]]
    ours = ours[ours["split"] == split]
    others = ours[ours["source"] != ""]
    models = list(dict.fromkeys([*own, *others["model"]]))
    ours = ours[ours["metric"] == metric]
    rows = ours.set_index("model").reindex(models)
    rows = rows.rename(columns={"ci_low": "low", "ci_high": "high"})
    rows["n_seeds"] = rows["n_seeds"].fillna(0)
    sources = dict(zip(others["model"], others["source"], strict=True))
    rows["source"] = [sources.get(model, "") for model in models]
    rows["title"] = [
        f"{model} (external)" if model in sources else study.title(model)
        for model in models
    ]
    rows["difference"] = rows["mean"] - rows["paper"]
    absent, rows["planned"] = {}, math.nan
    if planned is not None:
        counts = planned["model"].value_counts().reindex(models).fillna(0)
        rows["planned"] = counts.where(rows["source"] == "")
        lost = planned[planned["status"] != "finished"].groupby("model")["status"]
        absent = {model: ", ".join(_unfinished(status)) for model, status in lost}
    notes = {}
    for model, count in rows["n_seeds"].items():
        why = absent.get(model, "not given" if model in sources and not count else "")
        notes[model] = why if count else f"no result: {why or 'no finished run'}"
    rows["note"] = pd.Series(notes, dtype=object)
    kept = ["title", "mean", "low", "high", "n_seeds", "planned"]
    kept += ["paper", "difference", "note", "source"]
    return rows[kept].reset_index(names="model")


def _unfinished(status: pd.Series) -> list[str]:
    """What became of the runs that are not finished, such as `1 failed`."""
    counts = status[status != "finished"].value_counts()
    return [f"{n} {name or 'of unknown status'}" for name, n in counts.items()]


def display_table(study: Study, dataset: str, split: str) -> el.SortableTable:
    """Every metric of the split, one row per model; BEST stands by what the paired rule
    cannot tell from the best mean, where it tells any model from it.

    Where the paper has values the columns have two levels: the metric, then ours, paper
    and difference; elsewhere one level, the metric.
    """
    columns, formats, texts = {}, {}, {}
    there = set(study.of("table1", dataset)["metric"])
    for metric, quantity in QUANTITIES.items():
        if metric not in there:
            continue
        name = quantity.title
        rows = metric_rows(study, dataset, split, metric)
        seeds = [seeds_text(row) for row in rows.itertuples()]
        columns.setdefault(("", "Model"), rows["title"].tolist())
        shown = columns.setdefault(("", "Seeds"), seeds)
        if rows["source"].any():
            columns["", "Source"] = [
                f"external: {source}" if source else "" for source in rows["source"]
            ]
        for place in rows.index[(rows["source"] != "") & (rows["n_seeds"] > 0)]:
            shown[place] = seeds[place]  # it need not give every metric
        columns[name, "ours"] = rows["mean"]
        best = _best(study, dataset, split, metric)
        marked = rows["model"].isin(best).map({True: f" {BEST}", False: ""})
        ours = [ours_text(row) for row in rows.itertuples()]
        texts[name, "ours"] = list(map(str.__add__, ours, marked))
        if rows["paper"].notna().any():
            columns[name, "paper"] = rows["paper"]
            columns[name, "difference"] = rows["difference"]
            formats |= {(name, "paper"): ",.2f", (name, "difference"): "+,.2f"}
    table = pd.DataFrame(columns)
    if not formats:
        table.columns = [metric or head for metric, head in table.columns]
        texts = {name: text for (name, _), text in texts.items()}
    says = f"{len(table)} models on {dataset}, {split}, in all terms of Table 1."
    return el.SortableTable(table, says, formats, texts)


def _best(study: Study, dataset: str, split: str, metric: str) -> set[str]:
    """The best models by the paired rule; none where it tells none from the others."""
    runs = study.table("runs")
    if runs is None or metric not in runs or QUANTITIES[metric].better is None:
        return set()
    rivals = set(runs.loc[runs["dataset"] == dataset, "model"]) - bounds_alone(study)
    here = runs[runs["split"] == split].dropna(subset=metric)
    best = best_models(runs, dataset, split, metric, rivals)
    return best if rivals & set(here["model"]) - best else set()


def default_models(study: Study, dataset: str, here: Sequence[str]) -> list[str]:
    """The models of `here` that a page shows at first, in the study's order: vanilla,
    the paper's own, and the best and the worst of the others."""
    fixed = [model for model in (BASELINE, MODEL) if model in here]
    others = [m for m in here if m not in fixed and m not in bounds_alone(study)]
    table = study.of("runs", dataset)
    if table is not None:
        of_test = table[table["split"] == "test"]
        means = of_test.groupby("model")[METRIC].mean().dropna().sort_values()
        others = [model for model in means.index if model in others] or others
    chosen = {*fixed, *others[:1], *others[-1:]}
    return [model for model in here if model in chosen]


def compared(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of one dataset and split with the negative ELBO that models are compared
    by: on the images of the gaps, as their gains are, where every row has it."""
    if runs["elbo"].notna().all():
        return runs.assign(**{METRIC: -runs["elbo"]})
    return runs


def seeds_text(row) -> str:
    """How many seeds stand behind a row, and what became of the others."""
    text = f"{row.n_seeds:.0f}"
    if not math.isnan(row.planned):
        text += f" of {row.planned:.0f}"
    absent = row.note.removeprefix("no result: ")
    return f"{text}, {absent}" if absent else text


def ours_text(row) -> str:
    """The mean of a row with its 95% interval."""
    return with_interval(row.mean, row.low, row.high)


def finding(rows: pd.DataFrame, metric: str) -> str:
    """What the rows of one metric say, in one or two sentences for the page and `alt`.

    Seeds are paired, so that these intervals alone call nothing better. External models
    are left out.
    """
    quantity = QUANTITIES[metric]
    name = quantity.title.replace("Negative", "negative")
    shown = rows[rows["mean"].notna() & (rows["source"] == "")]
    if shown.empty:
        return f"No model has a finished run with a {name} here."

    def value(row: pd.Series) -> str:
        return f"{number(row['mean'])} {quantity.unit}".strip()

    ends = [shown["mean"].idxmin(), shown["mean"].idxmax()]
    first, last = (shown.loc[place] for place in ends)
    if len(shown) == 1:
        return f"{first['title']} has a {name} of {value(first)}."
    text = (
        f"The {name} runs from {value(first)} ({first['title']}) to {value(last)} "
        f"({last['title']})."
    )
    if quantity.better is None:
        return text
    if shown["low"].isna().any():
        return (
            f"{text} Where one seed stands alone, nothing tells how sure the order is."
        )
    return f"{text} Compare tells which differences are real."


def departures(study: Study, dataset: str) -> list[el.Element]:
    """What of a dataset's runs is not as in the paper, if the claims tell it."""
    claims = study.of("claims", dataset)
    text = "" if claims is None else in_words(dataset, claims["departures"].iloc[0])
    return [el.Notice(text)] if text else []


def absent_runs(study: Study, dataset: str) -> list[el.Element]:
    """The runs of a dataset that are not finished, and where to look, if any."""
    cells = study.of("cells", dataset)
    rows = None if cells is None else cells[cells["status"] != "finished"]
    if rows is None or rows.empty:
        return []
    table = pd.DataFrame(
        {
            "Model": [study.title(model) for model in rows["model"]],
            "Seed": [number(seed, 0) for seed in rows["seed"]],
            "Status": rows["status"].tolist(),
            "Detail": rows["detail"].tolist(),
        }
    )
    found = ", ".join(_unfinished(cells["status"]))
    says = f"{len(rows)} of {len(cells)} runs on {dataset} are not finished: {found}"
    return [el.Details(f"{says}. Which, and why", [el.Table(table, f"{says}.")])]
