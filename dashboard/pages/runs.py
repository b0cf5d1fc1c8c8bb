"""Runs: all of them in one table, some beside each other, and the way into MLflow."""

import shlex
from collections.abc import Iterator, Sequence

import pandas as pd

from comvae.results import index as runs
from comvae.results.index import Run
from comvae.results.quantities import QUANTITIES
from comvae.results.reading import noting
from comvae.study.passwords import without_password
from dashboard import elements as el
from dashboard import records, summary
from dashboard.study import Study, warnings
from dashboard.text import number

BY = {"runs": "Run by run", "models": "By model, over its seeds"}
UNITS = "In nats per image; the weight KL in nats for one network, the time in seconds."
COMMIT = "git_commit"  # a column of runs.csv
HEADS = {"seed": "Seed", COMMIT: "Commit"}
UI = "http://127.0.0.1:5000"  # where `make mlflow` shows it


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text("One run is one dataset, model and seed.")
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.runs_on(dataset)
    names = study.in_order(run.model for run in here)
    table = study.of("runs", dataset)
    split = ask.one(summary.split_choice(table))
    shown_as = ask.each(
        el.Choice("Rows", "rows", list(BY), BY.get, written=["models"]), headed=True
    )
    models = ask.some(el.Choice("Models", "models", names, study.title, names))
    chosen = [run for run in here if run.model in models]
    if table is None:
        yield from study.lacking("runs")
    if not chosen:
        yield el.Notice("There is no such run: choose at least one model above.")
    for by in shown_as if chosen else ():
        rows = _rows(chosen, study, table, split)
        if by == "models":
            yield _by_model(rows)
            yield el.Caption(f"{UNITS} Mean ± standard deviation over the seeds.")
        else:
            yield from _by_run(rows, chosen, study, ask)
    yield from _mlflow(study, dataset)


def _rows(
    chosen: Sequence[Run], study: Study, table: pd.DataFrame | None, split: str
) -> pd.DataFrame:
    """One row per run: model, seed, status, the quantities of the split, commit."""
    rows = pd.DataFrame(
        {
            "model": [run.model for run in chosen],
            "Model": [study.title(run.model) for run in chosen],
            "seed": [run.seed for run in chosen],
            "Status": [runs.STATUSES.get(run.status, run.status) for run in chosen],
        }
    )
    if table is None:
        return rows
    here = table[table["split"] == split]
    kept = [*summary.measured_in(here), *(name for name in [COMMIT] if name in here)]
    return rows.merge(here[["model", "seed", *kept]], how="left", on=["model", "seed"])


def _by_model(rows: pd.DataFrame) -> el.Table:
    """Mean and standard deviation of each quantity over the seeds of a model."""
    found = []
    for title, of_model in rows.groupby("Model", sort=False):
        row = {"Model": title, "Seeds": f"{len(of_model)}"}
        for name in summary.in_order(rows):
            values = of_model[name]
            text = number(values.mean(), _digits(rows[name]))
            if values.nunique() > 1:
                text += f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{number(values.std())}"
            row[QUANTITIES[name].title] = text
        if COMMIT in of_model:
            commits = of_model[COMMIT].fillna("").unique()
            row["Commit"] = ", ".join(filter(None, commits))
        found.append(row)
    says = f"Means and deviations of {len(found)} models over their seeds."
    return el.Table(pd.DataFrame(found), says)


def _digits(values: pd.Series) -> int:
    """As many decimals as a quantity is told with: counts have none."""
    return 0 if (values.dropna() % 1 == 0).all() else 2


def _by_run(
    rows: pd.DataFrame, chosen: Sequence[Run], study: Study, ask: el.Ask
) -> Iterator[el.Element]:
    """Every run; those that are chosen beside each other below."""
    kept = summary.in_order(rows)
    titles = {name: QUANTITIES[name].title for name in kept}
    formats = {titles[name]: f",.{_digits(rows[name])}f" for name in kept}
    table = el.SortableTable(
        rows.drop(columns="model").rename(columns=titles | HEADS),
        f"{len(rows)} runs on {chosen[0].dataset} with their quantities.",
        formats,
    )
    by_name = {f"{run.model}:{run.seed}": place for place, run in enumerate(chosen)}
    places = [by_name[name] for name in ask.rows("run", list(by_name), table)]
    yield el.Caption(
        f"{UNITS} Choose rows to see those runs beside each other; a click on a "
        "head sorts."
    )
    if places:
        numbers = table.as_text().iloc[places].drop(columns=["Model", "Seed"])
        yield from _beside([chosen[place] for place in places], numbers, study)


def _beside(
    picked: Sequence[Run], numbers: pd.DataFrame, study: Study
) -> Iterator[el.Element]:
    """Runs beside each other: their quantities and settings, what differs on top."""
    yield el.Heading("Beside each other")
    heads = [f"{study.title(run.model)}, seed {run.seed}" for run in picked]
    links, problems = [], []
    settings: dict[str, dict[str, str]] = {head: {} for head in heads}
    for run, head in zip(picked, heads, strict=True):
        of_run = {"dataset": run.dataset, "model": run.model, "seed": str(run.seed)}
        links.append(el.Link("run", head, of_run))
        with noting(problems):
            settings[head] = records.settings_of(runs.load_settings(run) or {})
    yield el.Row(links)
    shared, differing = records.compared(settings)
    alike = pd.DataFrame(dict.fromkeys(heads, shared))
    rows = pd.concat([numbers.set_axis(heads).T, differing, alike])
    marked = (rows.nunique(axis=1) > 1).to_numpy().nonzero()[0].tolist()
    rows = rows.rename_axis("What").reset_index()
    yield el.Table(rows, f"{len(picked)} runs beside each other.", marked=marked)
    yield el.Caption(
        "Quantities first, then settings. Rows in which the runs differ have a "
        "coloured ground."
    )
    yield from warnings(problems)


def _mlflow(study: Study, dataset: str) -> Iterator[el.Element]:
    """How to look at the same runs in MLflow's own pages."""
    uri = without_password(str(study.plan.get("tracking_uri") or ""))
    address, started = uri.rstrip("/"), []
    if not uri.startswith(("http://", "https://")):
        store = uri or f"sqlite:///{study.results.resolve()}/mlflow/mlflow.db"
        command = f"mlflow ui --port 5000 --backend-store-uri {shlex.quote(store)}"
        text = "In a terminal this, or `make mlflow`, shows its pages:"
        address, started = UI, [el.Text(text), el.Code(command)]
    yield el.Private(
        [
            el.Heading("In MLflow"),
            el.Text(f"MLflow has the same runs, in the experiment {dataset}."),
            *started,
            el.WebLink(f"{address}/#/experiments", "Open MLflow"),
        ]
    )
