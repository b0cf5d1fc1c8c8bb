"""Where the numbers of the site come from: code, machines, data and settings."""

from typing import Any

import pandas as pd

from comvae.errors import ResultsError
from dashboard import data, runs
from dashboard.sections.blocks import Block, Caption, Heading, Notice, Table, Text
from dashboard.site.material import Material


def provenance(found: Material, dataset: str) -> list[Block]:
    """Blocks on how the runs on a dataset were trained, and on the dataset."""
    here = [run for run in found.study.index.runs if run.dataset == dataset]
    blocks: list[Block] = [Text("What was run, with which code, on which data.")]
    rows, versions, problems = [], [], []
    for folder in dict.fromkeys(run.folder for run in here if run.folder is not None):
        run = next(run for run in here if run.folder == folder)
        try:
            training = runs.load_provenance(run)
        except ResultsError as error:
            problems.append(Notice(str(error), warning=True))
            continue
        if training is not None:
            rows.append(_block(found, run, training))
            versions.append(_versions(training))
    blocks += [*problems, Heading("Runs")]
    if rows:
        says = f"Code, device and versions of {len(rows)} blocks of runs on {dataset}."
        blocks.append(Table(pd.DataFrame(rows), says))
        blocks.append(
            Caption("A block is the seeds of one model that train in lockstep.")
        )
        blocks += [Text(f"Versions: {each}.") for each in dict.fromkeys(versions)]
    else:
        blocks.append(Text("No training has finished yet."))
    return blocks + _dataset(found, dataset)


def _block(found: Material, run: runs.Run, training: dict[str, Any]) -> dict[str, str]:
    parameters = training.get("parameters")
    return {
        "Model": found.study.title(run.model),
        "Block": run.folder.name if run.folder else "",
        "Parameters": f"{parameters:,}" if isinstance(parameters, int) else "",
        "Commit": str(training.get("git_commit", "")),
        "Settings": str(training.get("config_hash", "")),
        "Device": str(training.get("device", "")),
    }


def _versions(training: dict[str, Any]) -> str:
    versions = training.get("versions")
    listed = versions.items() if isinstance(versions, dict) else ()
    return ", ".join(f"{name} {version}" for name, version in listed) or "unknown"


def _dataset(found: Material, dataset: str) -> list[Block]:
    head = Heading(f"The dataset {dataset}")
    try:
        path = found.results / "datasets" / dataset / "dataset.json"
        record = data.load_json(path)
    except ResultsError as error:
        return [head, Notice(str(error), warning=True)]
    if record is None:
        return [head, Text("Its record dataset.json is not there.")]
    rows = []
    for name in ("source", "files", "arrays", "counts"):
        values = record.get(name)
        for key, value in values.items() if isinstance(values, dict) else ():
            what = {"files": "SHA-256 of", "arrays": "SHA-256 of array"}.get(name, name)
            rows.append({"What": f"{what} {key}", "Value": str(value)})
    changes = record.get("changes")
    rows += [
        {"What": "change", "Value": str(change)}
        for change in (changes if isinstance(changes, list) else ())
    ]
    title = Text(str(record.get("title", dataset)))
    if not rows:
        return [head, title]
    table = Table(pd.DataFrame(rows), f"Sources, checksums and counts of {dataset}.")
    return [head, title, table]
