"""What is measured: the rows of the table."""

from dataclasses import dataclass
from pathlib import Path

from comvae.study.settings import Catalogue, RunConfig, load_study

ROOT = Path(__file__).parents[1]
STUDIES = {"digits": "config.yaml", "mnist": "paper.yaml"}


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
        case.dataset, case.model, list(range(case.seeds))
    )
    return with_training(config, epochs=case.epochs + 1)


def with_training(config: RunConfig, **settings: object) -> RunConfig:
    """The config with other training settings."""
    training = config.training.model_copy(update=settings)
    return config.model_copy(update={"training": training})


def cases(
    device: str,
    models: list[str] | None = None,
    seeds: list[int] | None = None,
    quick: bool = False,
    full: bool = False,
) -> list[Case]:
    """The rows for a device, `cpu` or `cuda`.

    `models` and `seeds` take others than the default ones; `quick` shortens the
    rows, and `full` adds those that a CPU needs minutes for.
    """
    named = models or list(catalogue("mnist").models)
    if device == "cuda":
        steps = 60 if quick else 600
        return [
            Case(model, "mnist", number, steps)
            for model in named
            for number in seeds or ([1] if quick else [1, 5, 20])
        ]
    small = [
        Case(model, "digits", number, None, epochs=1 if quick else 4)
        for model in named
        for number in seeds or [3]
    ]
    return small + [
        case for model in named for case in _mnist_on_cpu(model, seeds, quick, full)
    ]


def _mnist_on_cpu(
    model: str, seeds: list[int] | None, quick: bool, full: bool
) -> list[Case]:
    """A step of a compound model takes seconds: few steps, one seed, one model."""
    if is_heavy(model):
        shown = full or (model == "compound-mixture" and not quick)
        return [Case(model, "mnist", 1, steps=3)] if shown else []
    if quick and model != "vanilla":
        return []
    steps = 60 if quick else 600
    return [Case(model, "mnist", number, steps) for number in seeds or [1, 5]]


def is_heavy(model: str) -> bool:
    """Whether the model has weights per image: 123 million parameters on MNIST."""
    return catalogue("mnist").models[model].hidden_layer == "dynamic"
