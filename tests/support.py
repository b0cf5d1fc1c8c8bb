"""What tests share: the repository, the models of Table 1, a small config."""

from pathlib import Path

from comvae.model.options import ModelOptions
from comvae.study.loading import load_models
from comvae.study.plan import find_studies, study_folder
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training

ROOT = Path(__file__).parents[1]
MODELS = [  # of Table 1
    name
    for name, model in load_models(ROOT / "config" / "models.yaml").items()
    if not model.control
]


def run_config(
    options: ModelOptions, seeds: list[int], epochs: int = 2, **training: object
) -> RunConfig:
    """A small config; each tensor of one seed is a multiple of 16 long."""
    settings = {"epochs": epochs, "batch_size": 16, "hidden": 16, "latent": 16}
    return RunConfig(
        dataset="blobs",
        model="any",
        seeds=seeds,
        options=options,
        training=Training(**(settings | training)),
    )


def study_in(results: Path) -> Path:
    """The folder of the study that was planned last below `results`, else of `test`."""
    return study_folder(results, next(iter(find_studies(results)), "test"))
