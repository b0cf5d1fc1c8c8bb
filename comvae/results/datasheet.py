"""The README of a published study: what it is, how it was made, and its limits."""

from pathlib import Path
from typing import Any

from comvae.datasets.store import DatasetRecord, read_record
from comvae.results import paths
from comvae.results.blocks import BlockFiles
from comvae.results.headline import headline, rivals_headline
from comvae.results.quantities import markdown_table
from comvae.results.reading import load_study_table
from comvae.results.statistics import COVERS
from comvae.results.tables.departures import departures
from comvae.study.plan import Block, Plan

README = "README.md"
SETTINGS = ("epochs", "batch_size", "learning_rate", "hidden", "latent")


def datasheet(results: Path, plan: Plan, made: dict[str, Any]) -> str:
    """The text of README.md for a folder of results that holds this study alone, with
    its tables; `made` is what the manifest says of how it was made."""
    name = plan.study
    parts = [
        f"# The study `{name}`",
        *_found(results, plan),
        "## What it is",
        _what(plan),
        *(_dataset(results, dataset) for dataset in plan.datasets),
        _models(results, plan),
        "## How it was made",
        _how(results, plan, made),
        f"`comvae tables --results results/published/{name}`, and `comvae report` "
        "with the same option, make tables and report again from these files, byte "
        f"for byte; `comvae dashboard --results results/published/{name}` shows them. "
        "`manifest.json` has the SHA-256 of each file, also of those that are too "
        "large to be here. Columns and files: `results/README.md` of the repository.",
        f'`comvae.load("results/published/{name}", "<model>")` opens a model whose '
        "weights are here (docs/api.md).",
        "## Limits",
        *_limits(results, plan),
    ]
    return "\n\n".join(parts) + "\n"


def _found(results: Path, plan: Plan) -> list[str]:
    study = plan.folder(results)
    runs = load_study_table(study, "runs")
    parts = load_study_table(study, "attribution")
    rivals = load_study_table(study, "rivals")
    said = [headline(runs, parts, dataset) for dataset in plan.datasets]
    said += [rivals_headline(rivals, plan.models, each) for each in plan.datasets]
    return [sentence for sentence in said if sentence]


def _what(plan: Plan) -> str:
    seeds = {len(_seeds(plan, model)) for model in plan.models}
    each = " or ".join(str(count) for count in sorted(seeds))
    measured = (
        f"log p(x) and the gaps are measured on {plan.gap_images} images of each "
        "split, all of them where there are fewer."
        if plan.gap_images
        else "No gaps are measured."
    )
    return (
        f"{len(plan.models)} models of the Compound VAE study, each trained with "
        f"{each} seeds on {', '.join(plan.datasets)}, evaluated on both splits. "
        f"{measured}"
    )


def _dataset(results: Path, name: str) -> str:
    record: DatasetRecord = read_record(paths.dataset_record(results, name).parent)
    counts = ", ".join(f"{count} {split}" for split, count in record.counts.items())
    source = "; ".join(dict.fromkeys(record.source.values()))
    return (
        f"{record.title}: {counts} images of {record.height}x{record.width} pixels, "
        f"{record.classes} classes. Source: {source}. They are not in this folder."
    )


def _models(results: Path, plan: Plan) -> str:
    """What of each model is there."""
    rows = []
    for model, title in plan.models.items():
        seeds = ", ".join(map(str, _seeds(plan, model)))
        blocks = [block for block in plan.blocks if block.model == model]
        kept = dict.fromkeys(_weights(results, block) for block in blocks)
        rows.append([f"`{model}`", title, seeds, ", ".join(kept)])
    return markdown_table(["model", "title", "seeds", "weights here"], rows)


def _seeds(plan: Plan, model: str) -> list[int]:
    found = {seed for b in plan.blocks if b.model == model for seed in b.seeds}
    return sorted(found)


def _weights(results: Path, block: Block) -> str:
    run = paths.run_folder(results, block.folder)
    if (run / paths.WEIGHTS).exists():
        return "all seeds"
    first = block.seeds[0]
    return f"seed {first}" if (run / paths.weights_of(first)).exists() else "none"


def _how(results: Path, plan: Plan, made: dict[str, Any]) -> str:
    lines = []
    for dataset in plan.datasets:
        block = next(block for block in plan.blocks if block.dataset == dataset)
        config = BlockFiles.at(results, block.folder, block.measured).config
        used = [f"{name} {getattr(config.training, name)}" for name in SETTINGS]
        lines.append(f"- Training on {dataset}: {', '.join(used)}.")
    libraries = [f"{name} {version}" for name, version in made["versions"].items()]
    lines += [
        f"- Trained by {made['trained_by']} on {', '.join(made['devices'])}, with the "
        f"code of commit {', '.join(made['commits'])}.",
        f"- {', '.join(libraries)}.",
        "- Every setting stands in the `run.json` of each block below `runs/`.",
    ]
    return "\n".join(lines)


def _limits(results: Path, plan: Plan) -> list[str]:
    said = [
        f"On {dataset} this study departs from the paper, in brackets: {text}. What "
        "holds here need not hold there."
        for dataset, text in departures(results, plan).items()
        if text
    ]
    return [*said, COVERS]
