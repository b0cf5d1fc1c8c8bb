"""The digits study before and after: two versions of the code, measured side by side.

`python -m benchmarks.study BASE` runs config/config.yaml, gaps left out, with the code
of the revision BASE and with the files as they are now, in alternation. Both are copied
to a temporary folder: the repository and its results are not touched. Only the command
line of a version is used, which old ones have too.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import pandas as pd
import torch
import typer
import yaml

from benchmarks.bench import Models, Rounds, Threads
from benchmarks.cases import ROOT
from benchmarks.harness import alternate, say, write
from tests.slow.support import copy_repository

BEFORE, AFTER = "before", "after"
SIZES = ("epochs", "batch_size", "hidden", "latent")
WHOLE = "make study"


def study(
    base: Annotated[str, typer.Argument(help="The revision to compare with.")],
    epochs: Annotated[int, typer.Option(min=0, help="0: as the study says.")] = 0,
    threads: Threads = 0,
    models: Models = "",
    rounds: Rounds = 3,
) -> None:
    """Time the digits study with two versions of the code, on --threads cores.

    Writes results/benchmarks/<host>-study.csv (-study-partial where --models or
    --epochs is given): what, before and after in seconds, ratio. First comes the time
    from the command to the report, then the training of each model.
    """
    # a killed process leaves its `with` blocks, and with them the temporary folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threads = threads or torch.get_num_threads()
    changes: dict[str, Any] = {"models": models.split(",")} if models else {}
    changes |= {"training": {"epochs": epochs}} if epochs else {}
    with tempfile.TemporaryDirectory(prefix="comvae-study-") as folder:
        before = checkout(base, Path(folder, BEFORE))
        after = copy_repository(Path(folder, AFTER))
        for tree in (before, after):
            build(tree)
        frame = compare(before, after, changes, threads, rounds)
    print(f"The digits study, {base} and now, {threads} threads, seconds:")
    print(frame.to_string(index=False, float_format="{:.3g}".format))
    print(write("-study" + "-partial" * bool(changes), frame))


def checkout(revision: str, folder: Path) -> Path:
    """The files of a revision in `folder`. Exits where there is no such revision."""
    _run(["git", "clone", "--quiet", "--no-checkout", ROOT, folder], ROOT)
    _run(["git", "checkout", "--quiet", revision], folder)
    return folder


def build(tree: Path) -> None:
    """Build the C kernels of a version, wherever it keeps them."""
    if any(tree.glob("comvae/**/native.c")):
        setup = "import setuptools; setuptools.setup()"
        _run([sys.executable, "-c", setup, "build_ext", "--inplace"], tree)


def compare(
    before: Path, after: Path, changes: dict[str, Any], cores: int, rounds: int
) -> pd.DataFrame:
    """Columns what, before, after (median seconds) and ratio, the median of the rounds'
    ratios. Exits where the versions train other seeds, epochs or units."""
    say(f"{WHOLE}: {rounds} times with each version")
    trees = {BEFORE: before, AFTER: after}
    versions = {
        name: partial(run, tree, changes, cores) for name, tree in trees.items()
    }
    found = alternate(versions, rounds)
    work = [work_of(tree) for tree in trees.values()]
    if work[0] != work[1]:
        sys.exit(f"Error: {BEFORE} trains {work[0]}, {AFTER} {work[1]}")
    seconds = {name: pd.DataFrame(found[name].tolist()) for name in trees}
    columns = {name: frame.median() for name, frame in seconds.items()}
    columns["ratio"] = (seconds[BEFORE] / seconds[AFTER]).median()
    return pd.DataFrame(columns).rename_axis("what").reset_index()


def run(tree: Path, changes: dict[str, Any], cores: int) -> dict[str, float]:
    """Seconds of the study from the command to the report, with nothing there before,
    and of the training of each model of it. `changes` are made to its settings."""
    for made in ("results", "logs", ".snakemake"):
        shutil.rmtree(tree / made, ignore_errors=True)
    settings = yaml.safe_load((tree / "config" / "config.yaml").read_text("utf-8"))
    if any(tree.glob("comvae/**/gap")):
        changes = changes | {"gap": {"images": 0}}
    for key, value in changes.items():
        both = isinstance(value, dict) and key in settings
        settings[key] = settings[key] | value if both else value
    path = tree / "config" / "benchmark.yaml"
    path.write_text(yaml.safe_dump(settings))
    start = perf_counter()
    script = ("workflow/scripts/run.py", "--cores", cores, "--configfile", path)
    _run([sys.executable, *script], tree)
    seconds = {WHOLE: perf_counter() - start}
    for record in sorted(tree.glob("results/runs/**/training.json")):
        model = json.loads(record.with_name("run.json").read_text("utf-8"))["model"]
        trained = json.loads(record.read_text("utf-8"))["train_seconds"]
        seconds[model] = seconds.get(model, 0.0) + trained
    return seconds


def work_of(tree: Path) -> list[dict[str, Any]]:
    """What each block of the study that was run has to train."""
    configs = (
        json.loads(p.read_text("utf-8")) for p in tree.glob("results/runs/**/run.json")
    )
    work = (
        {name: config[name] for name in ("model", "seeds")}
        | {name: config["training"][name] for name in SIZES}
        for config in configs
    )
    return sorted(work, key=lambda block: (block["model"], block["seeds"]))


def _run(command: list[object], folder: Path) -> None:
    """Run it in `folder`, with the code there. Exits with its output where it fails."""
    settings = {"PYTHONPATH": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nError: {command[1]} failed in {folder}; see above")


if __name__ == "__main__":
    typer.run(study)
