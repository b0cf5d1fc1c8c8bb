"""What of a study is not as in the paper: its claims are about its own setting."""

from collections.abc import Iterator
from pathlib import Path

from comvae.datasets.registry import REGISTRY
from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.blocks import BlockFiles
from comvae.results.reading import load_json
from comvae.results.tables.paper import paper_values
from comvae.study.hashing import chosen
from comvae.study.plan import Plan
from comvae.study.run_config import NO_RESULT, RunConfig

NO_DEPARTURE = {
    "training": NO_RESULT["training"],
    "data": {"data_seed"},
}
"""Settings that may differ: the result does not depend on them, or only by chance."""


def departures(results: Path, plan: Plan) -> dict[str, str]:
    """What differs from the paper, which is in brackets, by dataset of the study.

    Dataset, size and number of its images, and every setting of training and data that
    is not the default, which is the paper's (section 3.1). Empty where nothing does.
    """
    return {
        dataset: ", ".join(_departures(results, plan, dataset))
        for dataset in plan.datasets
    }


def with_other_images(results: Path, plan: Plan) -> set[str]:
    """The datasets of a study whose images, pooled or binary, are not those that the
    paper has values of."""
    return {
        dataset
        for dataset in plan.datasets
        if (config := _config(results, plan, dataset))
        and chosen(config.data, exclude=NO_DEPARTURE["data"])
    }


def _departures(results: Path, plan: Plan, dataset: str) -> Iterator[str]:
    papers = dict.fromkeys(name for name, *_ in paper_values())
    if dataset not in papers:
        yield f"dataset {dataset} ({', '.join(papers)})"
    facts, config = REGISTRY["mnist"], _config(results, plan, dataset)
    try:
        record = load_json(paths.dataset_record(results, dataset)) or {}
    except ResultsError:
        record = {}
    if {"height", "width"} <= set(record):
        size = f"{record['height']}x{record['width']}"
        if size != (expected := f"{facts.height}x{facts.width}"):
            yield f"{size} pixels ({expected})"
    for split, count in record.get("counts", {}).items():
        if count != facts.counts[split]:
            yield f"{count} {split} images ({facts.counts[split]})"
    for part, left_out in NO_DEPARTURE.items() if config else ():
        settings = getattr(config, part)
        for name, value in chosen(settings, exclude=left_out).items():
            yield f"{name} {value} ({type(settings).model_fields[name].default})"


def _config(results: Path, plan: Plan, dataset: str) -> RunConfig | None:
    """That of one block, since all of a dataset are trained alike."""
    for block in plan.blocks:
        if block.dataset == dataset:
            try:
                return BlockFiles.at(results, block.folder, block.measured).config
            except ResultsError:
                continue
    return None
