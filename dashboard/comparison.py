"""From runs and their files to what the page Compare shows."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from comvae.errors import ResultsError
from dashboard import data, runs
from dashboard.differences import VERDICTS, by_seed, difference, effect_text
from dashboard.study import Study

METRICS = {
    "negative_elbo": "Negative ELBO",
    "reconstruction": "Reconstruction",
    "latent_kl": "Latent KL",
    "log_px": "log p(x)",
    "elbo": "ELBO, on the images of the gaps",
    "approximation_gap": "Approximation gap",
    "amortization_gap": "Amortization gap",
    "inference_gap": "Both gaps together",
}


def epochs(
    chosen: Sequence[runs.Run], study: Study, term: str
) -> tuple[pd.DataFrame, list[str]]:
    """Mean, least and most over the seeds of each model by epoch, and what is damaged.

    Columns: model, title, epoch, mean, least, most, n_seeds.
    """
    tables, problems = [], []
    for folder, model, seeds in _blocks(chosen, "folder"):
        try:
            history = data.load_table(folder / "history.csv", data.HISTORY)
        except ResultsError as error:
            problems.append(str(error))
            continue
        if history is not None:
            rows = history.loc[history["seed"].isin(seeds), ["epoch", term]]
            tables.append(rows.assign(model=model))
    columns = ["model", "epoch", "mean", "least", "most", "n_seeds"]
    if not tables:
        return pd.DataFrame(columns=[*columns, "title"]), list(dict.fromkeys(problems))
    together = pd.concat(tables)
    finite = together[np.isfinite(together[term])]
    found = (
        finite.groupby(["model", "epoch"], sort=False)[term]
        .agg(mean="mean", least="min", most="max", n_seeds="count")
        .reset_index()
    )
    found["title"] = [study.title(model) for model in found["model"]]
    return found, list(dict.fromkeys(problems))


def curves_message(found: pd.DataFrame, name: str) -> str:
    """Where the curves end, in one sentence."""
    last = found.sort_values("epoch").groupby("model", sort=False).last()
    best, worst = last.loc[last["mean"].idxmin()], last.loc[last["mean"].idxmax()]
    if len(last) == 1:
        return f"{name} of {best['title']} ends at {best['mean']:.2f}."
    return (
        f"{name} ends lowest for {best['title']}, {best['mean']:.2f}, and highest for "
        f"{worst['title']}, {worst['mean']:.2f}."
    )


def differences(
    table: pd.DataFrame, study: Study, view: tuple[str, str, str], models: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every model minus the first of `models`: effects, and the values by seed.

    `view` is dataset, split and metric.
    """
    rows, values = [], []
    first = models[0]
    for model in models[1:]:
        found = difference(table, *view, (model, first))
        title = f"{study.title(model)} \N{MINUS SIGN} {study.title(first)}"
        rows.append(
            {
                "group": model,
                "title": title,
                "model": model,
                "part": "",
                "effect": found["effect"],
                "low": found["ci_low"],
                "high": found["ci_high"],
                "text": effect_text(found["effect"], found["ci_low"], found["ci_high"]),
                "n_seeds": found["n_seeds"],
                "verdict": VERDICTS[str(found["verdict"])],
            }
        )
        for seed, value in by_seed(table, *view, (model, first)).items():
            values.append({"group": model, "part": "", "seed": seed, "value": value})
    columns = ["group", "part", "seed", "value"]
    return pd.DataFrame(rows), pd.DataFrame(values, columns=columns)


def image_gaps(
    chosen: Sequence[runs.Run], split: str, gap: str
) -> tuple[pd.DataFrame, list[str]]:
    """A gap of every image under every model, averaged over its seeds; and problems.

    Columns are the models, rows the images that all of them have.
    """
    tables, problems = [], []
    for folder, model, seeds in _blocks(chosen, "evaluation"):
        try:
            file = data.identity(folder / "gaps.parquet")
            table = None if file is None else _read_gaps(file)
        except ResultsError as error:
            problems.append(str(error))
            continue
        if table is not None:
            rows = table[table["seed"].isin(seeds) & (table["split"] == split)]
            tables.append(rows[["image", gap]].assign(model=model))
    if not tables:
        return pd.DataFrame(), list(dict.fromkeys(problems))
    by_image = pd.concat(tables).pivot_table(index="image", columns="model", values=gap)
    by_image = by_image.replace([np.inf, -np.inf], np.nan).dropna()
    return by_image, list(dict.fromkeys(problems))


def _blocks(
    chosen: Sequence[runs.Run], kind: str
) -> Iterator[tuple[Path, str, list[int]]]:
    """Folder, model and seeds of each block of the chosen runs that has a folder.

    A file of a block holds all of its seeds: one look at it serves them all.
    """
    seeds: dict[tuple[Path, str], list[int]] = {}
    for run in chosen:
        folder = getattr(run, kind)
        if folder is not None:
            seeds.setdefault((folder, run.model), []).append(run.seed)
    for (folder, model), together in seeds.items():
        yield folder, model, together


@lru_cache(maxsize=16)
def _read_gaps(file: data.Identity) -> pd.DataFrame:
    from comvae.results.gap_files import read_gaps

    return read_gaps(Path(file[0]))
