"""A study's results: its models and tables, and why some of them are not there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from comvae.results import index as runs
from comvae.results import reading as data
from comvae.results.paths import PUBLISHED
from comvae.results.reading import noting
from comvae.study.plan import PLAN, find_studies, last_planned, study_folder
from dashboard import elements as el

TRAINED = ("trained", "evaluated")  # statuses of runs that no table has yet
BOUNDS = ("prior", "optimal")  # of `evaluated_encoder`: no encoder gives these


@dataclass(frozen=True)
class Study:
    """What `study.json` says, what the runs' own files add to it, and the tables."""

    results: Path
    folder: Path  # of the study, below `results`
    name: str
    titles: dict[str, str]  # by model, in the study's order
    measures_gaps: bool
    plan: dict  # study.json; empty where it is not there or cannot be read
    index: runs.Index
    damaged: dict[str, str] = field(default_factory=dict)  # why, by table that was read

    def title(self, model: str) -> str:
        """The model's title, or its name where no file tells one."""
        return self.titles.get(model) or self.index.title(model)

    def in_order(self, models: Iterable[str]) -> list[str]:
        """`models` once each, in the study's order; the unknown last, as they come."""
        names = list(dict.fromkeys(models))
        return [name for name in self.titles if name in names] + [
            name for name in names if name not in self.titles
        ]

    def table(self, name: str) -> pd.DataFrame | None:
        """A table; None where it is not there, and where it is damaged.

        `runs` is without the external ones: pages pair runs over seeds and open files.
        """
        try:
            table = data.load_study_table(self.folder, name)
            if table is None or name != "runs":
                return table
            return table[table["source"] == ""]
        except ResultsError as error:
            self.damaged[name] = str(error)
            return None

    def of(self, name: str, dataset: str) -> pd.DataFrame | None:
        """The rows of a dataset; None where there is none."""
        table = self.table(name)
        here = None if table is None else table[table["dataset"] == dataset]
        return None if here is None or here.empty else here

    def file(self, path: str) -> Path:
        """A file by its path below the study's folder, or below that of all results."""
        own = self.folder / path
        return own if own.exists() else self.results / path

    @property
    def datasets(self) -> list[str]:
        """Every dataset that has a row, a run or a plan, in the order of the tables."""
        tables = [self.table(name) for name in ("table1", "runs", "cells")]
        names = [n for t in tables if t is not None for n in t["dataset"].unique()]
        names += [run.dataset for run in self.index.runs]
        planned = self.plan.get("datasets")
        names += map(str, planned) if isinstance(planned, list) else []
        return list(dict.fromkeys(names))

    def runs_on(self, dataset: str) -> list[runs.Run]:
        """The runs on a dataset."""
        return [run for run in self.index.runs if run.dataset == dataset]

    def damage(self, *names: str) -> list[el.Element]:
        """Why tables that a page can do without cannot be read."""
        return warnings(self.damaged[name] for name in names if name in self.damaged)

    def lacking(self, name: str) -> list[el.Element]:
        """Why a page has no row of a table to show."""
        file = f"tables/{name}.csv"
        if self.table(name) is not None:
            text = f"There is nothing to show here: {file} has no row of this study."
            return [el.Notice(text)]
        if name in self.damaged:
            return self.damage(name)
        done = ""
        if not (self.folder / "tables").exists():
            trained = [r for r in self.index.runs if r.status in TRAINED]
            done = f" {len(trained)} of {len(self.index.runs)} runs are trained so far."
        text = (
            f"{file} is not written yet.{done} `make study` writes the tables at its "
            "end, and `make tables` those of what is finished at any time; meanwhile "
            "the page Runs leads to what there is."
        )
        return [el.Notice(text)]


def find_shown(results: Path) -> dict[str, tuple[Path, str]]:
    """The folder of results and the name of every study to choose from, by its label.

    Those planned here come first, the last planned one at their head; then those that
    are published below them.
    """
    own = {name: (results, name) for name in find_studies(results)}
    if not own and (results / "runs").exists():
        own = {"without a plan": (results, "")}
    published = {
        f"{name} (published)": (folder, name)
        for folder in sorted(results.glob(f"{PUBLISHED}/*"))
        for name in find_studies(folder)
    }
    return own | published


def load_study(results: Path, study: str | None = None) -> Study:
    """A study, the last one planned where none is named; without a readable study.json,
    as far as the runs' files tell it."""
    study = study or last_planned(results)
    folder = study_folder(results, study)
    index, plan = runs.load_index(results, study), {}
    with noting(index.problems):
        plan = data.load_json(folder / PLAN) or {}
    titles = plan.get("models")
    if not isinstance(titles, dict):
        titles = {run.model: index.title(run.model) for run in index.runs}
    return Study(
        results,
        folder,
        str(plan.get("study") or ""),
        {str(name): str(title) for name, title in titles.items()},
        plan.get("gap_images", 1) != 0,
        plan,
        index,
    )


def written_at(study: Study) -> float:
    """When the newest of the study's tables was written, seconds since 1970; or 0."""
    tables = study.folder.glob("tables/*.csv")
    return max((path.stat().st_mtime for path in tables), default=0.0)


def bounds_alone(study: Study) -> set[str]:
    """Models whose q(z given x) is none that an encoder gives: ends of the scale.

    They share the decoder of another model and are no rivals of the others.
    """
    found: dict[str, str] = {}
    for run in study.index.runs:
        if run.model not in found:
            with noting([]):  # the index has noted why
                options = (runs.load_settings(run) or {}).get("options")
                if isinstance(options, dict):
                    found[run.model] = options.get("evaluated_encoder", "")
    return {model for model, encoder in found.items() if encoder in BOUNDS}


def part_of(study: Study) -> list[el.Element]:
    """That the tables hold a part of the study, where some of its runs have neither
    finished nor failed in them."""
    cells = study.table("cells")
    if cells is None or cells.empty:
        return []
    ended = int(cells["status"].isin(("finished", "failed")).sum())
    total = max(len(cells), len(study.index.runs))
    if ended == total:
        return []
    text = (
        f"Part of the study: {ended} of {total} runs are in the tables. `make tables` "
        "adds what has finished since."
    )
    return [el.Notice(text)]


def nothing_yet(results: Path) -> list[el.Element]:
    """The page before the first result."""
    return [
        el.Notice(
            f"There are no results in {results} yet. In a terminal, at the root of "
            "the repository, run"
        ),
        el.Code("make study"),
        el.Text(
            "It trains every model of the study and fills this page; then reload it. "
            "Results that lie elsewhere are found through the environment variable "
            "COMVAE_RESULTS."
        ),
    ]


def warnings(problems: Iterable[str]) -> list[el.Element]:
    """What could not be read, each once; the rest of the page stands."""
    return [el.Notice(problem, "warning") for problem in dict.fromkeys(problems)]
