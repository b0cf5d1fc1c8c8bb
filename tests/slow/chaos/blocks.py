"""A small study, configured, and its blocks stage by stage."""

import json
from pathlib import Path

from comvae.results.paths import evaluation_folder
from comvae.study.loading import Catalogue, load_models
from comvae.study.plan import Block
from comvae.study.settings import Study
from tests.slow.chaos.commands import STUDY, Comvae
from tests.slow.support import write_study
from tests.support import ROOT

DATASET = "results/datasets/digits/dataset.json"
Training = dict[str, int] | None
# of training.json: the times, and the code, which someone may commit meanwhile
CHANGING = ("train_seconds", "finished_at", "git_commit")


def configure(comvae: Comvae, folder: Path, **changes: object) -> None:
    """The study with `changes`, its run.json files, and the dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    write_study(folder, STUDY | changes)
    models = ROOT / "config" / "models.yaml"
    comvae.succeeds(folder, "configure", "study.yaml", "--models", models)
    comvae.succeeds(folder, "fetch", "digits", "--output", Path(DATASET).parent)


def finish(comvae: Comvae, folder: Path, model: str) -> None:
    """A study of one model, with every stage but MLflow."""
    configure(comvae, folder, models=[model])
    for words in (train(model), evaluate(model), gap(model), ["tables"], ["report"]):
        comvae.succeeds(folder, *words)


def block(model: str, **changes: object) -> Block:
    """A model's block in the study, or in one with some settings changed."""
    models = load_models(ROOT / "config" / "models.yaml")
    study = Study(**STUDY | {"models": [model]} | changes)
    catalogue = Catalogue(study=study, models=models)
    config = catalogue.run_config("digits", model, [0, 1])
    return Block("digits", model, (0, 1), config.config_hash, study.measured)


def run(model: str, training: Training = None) -> str:
    """The folder of the block of a model, with that training or the study's."""
    changes = {"training": training} if training else {}
    return f"results/runs/{block(model, **changes).folder}"


def evaluation(model: str, **changes: object) -> str:
    """The folder of what is measured of the block of a model."""
    of = block(model, **changes)
    return str(evaluation_folder(Path("results"), of.folder, of.measured))


def stage(
    name: str, model: str, *options: object, training: Training = None
) -> list[object]:
    """The arguments that run a stage of a block."""
    block = [f"{run(model, training)}/run.json", "--dataset", DATASET, "--threads", 1]
    return [name, *block, *options]


def train(model: str, every: float = 60.0, training: Training = None) -> list[object]:
    """The arguments that train a block, with a checkpoint every so many seconds."""
    return stage("train", model, "--checkpoint-every", every, training=training)


def evaluate(model: str) -> list[object]:
    """The arguments that evaluate a block."""
    output = f"{evaluation(model)}/metrics.csv"
    return stage("evaluate", model, "--output", output, "--settings", "{samples: 2}")


def gap(model: str) -> list[object]:
    """The arguments that measure the gaps of a block."""
    output, settings = f"{evaluation(model)}/gaps.parquet", json.dumps(STUDY["gap"])
    return stage("gap", model, "--output", output, "--settings", settings)


def trained(folder: Path, model: str) -> dict[str, object]:
    """All that training a block wrote, but for CHANGING; and no file besides."""
    [block] = folder.glob(f"results/runs/digits/{model}/*/seeds-0-1")
    names = {"run.json", "weights.safetensors", "history.csv", "training.json"}
    found = {path.name for path in block.rglob("*")}
    assert found == names, "nothing is left behind"
    record = json.loads((block / "training.json").read_text())
    assert all(record.pop(name) for name in CHANGING)
    return {
        "weights": (block / "weights.safetensors").read_bytes(),
        "history": (block / "history.csv").read_bytes(),
        "record": record,
    }
