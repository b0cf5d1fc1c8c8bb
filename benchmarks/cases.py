"""What is measured: the rows of the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from comvae.study.loading import Catalogue, load_study
from comvae.study.run_config import RunConfig

ROOT = Path(__file__).parents[1]
# each row's settings; `mnist-half` is MNIST pooled to 14 x 14
STUDIES = {
    "digits": "config.yaml",
    "mnist": "paper.yaml",
    "mnist-half": "mnist-half.yaml",
}


@dataclass(frozen=True)
class Case:
    """One row: a block of seeds of one model on one dataset."""

    model: str
    dataset: str
    seeds: int
    steps: int | None = None  # minibatches of an epoch; None is the whole dataset
    epochs: int = 1  # that are timed, after one that warms up


def catalogue(dataset: str) -> Catalogue:
    """The study whose training settings the rows of a dataset have."""
    config = ROOT / "config"
    return load_study(source=config / STUDIES[dataset], models=config / "models.yaml")


def run_config(case: Case) -> RunConfig:
    """The config of the case's block, with an epoch more than is timed."""
    config = catalogue(case.dataset).run_config(
        case.dataset.removesuffix("-half"), case.model, list(range(case.seeds))
    )
    training = config.training.model_copy(update={"epochs": case.epochs + 1})
    return config.model_copy(update={"training": training})


def cases(
    device: str,
    models: Sequence[str] = (),
    seeds: Sequence[int] = (),
    quick: bool = False,
) -> list[Case]:
    """The rows for a device, `cpu` or `cuda`.

    `models` and `seeds` take others than the default ones; `quick` shortens the rows.
    """
    known = catalogue("mnist").models
    names, steps = models or list(known), 60 if quick else 600
    sizes = seeds or ([1] if quick else [1, 5, 20])
    if device == "cuda":
        return [Case(name, "mnist", size, steps) for name in names for size in sizes]
    rows = []
    for name in names:
        for size in sizes:
            rows.append(Case(name, "digits", size, epochs=1 if quick else 4))
    for name in names:
        # weights per image: 123 million parameters, and a step takes seconds
        if known[name].hidden_layer == "dynamic":
            if not quick and (models or name == "compound-mixture"):
                rows.append(Case(name, "mnist-half", 1, steps))
                rows.append(Case(name, "mnist", 1, steps=200))
        elif name == "vanilla" or not quick:
            rows += [Case(name, "mnist", size, steps) for size in sizes]
    return rows
