"""A real finished study of the digits, made by the commands of `comvae`."""

from pathlib import Path

import yaml

from comvae.cli import app
from comvae.study.plan import Plan

STUDY = {
    "study": "few-epochs",
    "datasets": ["digits"],
    "models": "all",
    "seeds": 3,
    "training": {"epochs": 3, "hidden": 16, "latent": 3},
    "evaluation": {"samples": 2},
    "gap": {"images": 24, "ais": "off", "importance_draws": 300},
}


def write_small_study(folder: Path) -> Path:
    """Run every stage below `folder`, as the workflow would; returns the results."""
    study, results = folder / "study.yaml", folder / "results"
    study.write_text(yaml.safe_dump(STUDY))
    data, evaluations = results / "datasets" / "digits", results / "evaluations"
    dataset = ("--dataset", data / "dataset.json")
    images = evaluations / "digits" / "gap-images.json"
    comvae("configure", study, "--results", results)
    comvae("fetch", "digits", "--output", data)
    comvae("gap-images", *dataset, "--output", images, "--images", gap("images"))
    for block in Plan.read(results).blocks:
        run = results / "runs" / block.folder / "run.json"
        out = evaluations / block.folder
        samples = STUDY["evaluation"]["samples"]
        comvae("train", run, *dataset)
        comvae(
            *("evaluate", run, *dataset, "--output", out / "metrics.csv"),
            *("--settings", f"{{samples: {samples}}}"),
        )
        settings = yaml.safe_dump(STUDY["gap"])
        comvae(
            *("gap", run, *dataset, "--output", out / "gaps.parquet"),
            *("--settings", settings),
        )
    for stage in ("tables", "track", "report"):
        comvae(stage, "--results", results)
    return results


def gap(setting: str) -> int:
    """A setting of the gaps."""
    return STUDY["gap"][setting]


def comvae(*arguments: object) -> None:
    """One command of `comvae`, in this process; raises where it fails."""
    app([str(argument) for argument in arguments], standalone_mode=False)
