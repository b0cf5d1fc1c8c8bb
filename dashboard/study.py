"""The study that the results are of: its models, their titles and their order."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from comvae.errors import ResultsError
from dashboard import data, runs

OWN_ENCODER = "model"  # the option `evaluated_encoder` of a model that is evaluated


@dataclass(frozen=True)
class Study:
    """What `study.json` says, and what the runs' own files add to it."""

    name: str
    titles: dict[str, str]  # by model, in the study's order
    measures_gaps: bool
    index: runs.Index

    def title(self, model: str) -> str:
        """The model's title, or its name where no file tells one."""
        return self.titles.get(model) or self.index.title(model)

    def in_order(self, models) -> list[str]:
        """`models` once each, in the study's order; the unknown last, as they come."""
        names = list(dict.fromkeys(models))
        return [name for name in self.titles if name in names] + [
            name for name in names if name not in self.titles
        ]


def load_study(results: Path) -> Study:
    """The study; without a readable study.json, as far as the runs' files tell it."""
    index = runs.load_index(results)
    try:
        plan = data.load_json(results / "study.json") or {}
    except ResultsError as error:
        index.problems.append(str(error))
        plan = {}
    titles = plan.get("models")
    if not isinstance(titles, dict):
        titles = {run.model: index.title(run.model) for run in index.runs}
    return Study(
        str(plan.get("study") or ""),
        {str(name): str(title) for name, title in titles.items()},
        plan.get("gap_images", 1) != 0,
        index,
    )


def bounds_alone(study: Study) -> set[str]:
    """Models whose q(z given x) is none that an encoder gives: ends of the scale.

    They share the decoder of another model and are no rivals of the others.
    """
    found: dict[str, str] = {}
    for run in study.index.runs:
        if run.model in found:
            continue
        try:
            options = (runs.load_settings(run) or {}).get("options")
        except ResultsError:
            continue  # the index has noted why
        if isinstance(options, dict):
            found[run.model] = str(options.get("evaluated_encoder", OWN_ENCODER))
    return {model for model, encoder in found.items() if encoder != OWN_ENCODER}


def datasets_of(*tables: pd.DataFrame | None) -> list[str]:
    """The datasets of all tables, in the order in which they stand there."""
    names = [name for t in tables if t is not None for name in t["dataset"].unique()]
    return list(dict.fromkeys(names))
