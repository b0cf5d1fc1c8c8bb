"""A small study, configured, and its blocks stage by stage."""

import json
from pathlib import Path

import yaml

from tests.slow.chaos.commands import ROOT, STUDY, Comvae

DATASET = "results/datasets/digits/dataset.json"
# of training.json: the times, and the code, which someone may commit meanwhile
CHANGING = ("train_seconds", "finished_at", "git_commit")


def configure(comvae: Comvae, folder: Path, **changes: object) -> None:
    """The study with `changes`, its run.json files, and the dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | changes))
    models = ROOT / "config" / "models.yaml"
    comvae.succeeds(folder, "configure", "study.yaml", "--models", models)
    comvae.succeeds(folder, "fetch", "digits", "--output", Path(DATASET).parent)


def finish(comvae: Comvae, folder: Path, model: str) -> None:
    """A study of one model, with every stage but MLflow."""
    configure(comvae, folder, models=[model])
    for stage in (train(model), evaluate(model), gap(model), ["tables"], ["report"]):
        comvae.succeeds(folder, *stage)


def run(model: str) -> str:
    """The folder of the block of a model."""
    return f"results/runs/digits/{model}/seeds-0-1"


def evaluation(model: str) -> str:
    """The folder of what is measured of the block of a model."""
    return f"results/evaluations/digits/{model}/seeds-0-1"


def train(model: str, every: float = 60.0) -> list[object]:
    """The arguments that train a block, with a checkpoint every so many seconds."""
    return [
        *("train", f"{run(model)}/run.json", "--dataset", DATASET, "--threads", 1),
        *("--checkpoint-every", every),
    ]


def evaluate(model: str) -> list[object]:
    """The arguments that evaluate a block."""
    return [
        *("evaluate", f"{run(model)}/run.json", "--dataset", DATASET, "--threads", 1),
        *("--output", f"{evaluation(model)}/metrics.csv", "--settings", "{samples: 2}"),
    ]


def gap(model: str) -> list[object]:
    """The arguments that measure the gaps of a block."""
    return [
        *("gap", f"{run(model)}/run.json", "--dataset", DATASET, "--threads", 1),
        *("--output", f"{evaluation(model)}/gaps.parquet"),
        *("--settings", json.dumps(STUDY["gap"])),
    ]


def trained(folder: Path, model: str) -> dict[str, object]:
    """All that training a block wrote, but for CHANGING; and no file besides."""
    block = folder / run(model)
    names = {"run.json", "weights.safetensors", "history.csv", "training.json"}
    assert {path.name for path in block.iterdir()} == names, "nothing is left behind"
    record = json.loads((block / "training.json").read_text())
    assert all(record.pop(name) for name in CHANGING)
    return {
        "weights": (block / "weights.safetensors").read_bytes(),
        "history": (block / "history.csv").read_bytes(),
        "record": record,
    }
