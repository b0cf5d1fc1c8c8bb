"""The digits study before and after: two versions of the code, measured side by side.

`python -m benchmarks.study BASE` trains every model of config/config.yaml with the code
of the revision BASE and with the files as they are now, in alternation, each in a
process of its own; with `--whole` it runs all of the study's stages with each. Both
are copied to a temporary folder: the repository and its results are not touched. Only
the command line of a version is used, which old ones have too.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

import pandas as pd
import torch
import typer
import yaml

from benchmarks.bench import Models, Rounds, Threads
from benchmarks.cases import ROOT, catalogue
from benchmarks.clock import Round, alternate, median, median_ratio, say
from benchmarks.table import host, write_csv
from tests.slow.support import copy_repository

BEFORE, AFTER = "before", "after"
SIZES = ("epochs", "batch_size", "hidden", "latent")
DATASET = "results/datasets/digits"
RUNS = "results/runs/**/run.json"
Job = Callable[[Path], float]  # seconds of something done with the code in a folder


def study(
    base: Annotated[str, typer.Argument(help="The revision to compare with.")],
    epochs: Annotated[int, typer.Option(min=0, help="0: as the study says.")] = 0,
    threads: Threads = 0,
    models: Models = "",
    rounds: Rounds = 3,
    whole: Annotated[
        bool, typer.Option("--whole", help="Time `make study` on --threads cores.")
    ] = False,
) -> None:
    """Time training of the digits study with two versions of the code, on the CPU.

    Writes results/benchmarks/<host>-study.csv (-partial where --models or --epochs is
    given): model, before and after in seconds, ratio; the total comes last. With
    --whole it is <host>-study-whole.csv, of one row; gaps, which the first versions
    did not measure, are left out.
    """
    # a killed process leaves its `with` blocks, and with them the temporary folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = models.split(",") if models else list(catalogue("digits").models)
    threads = threads or torch.get_num_threads()
    changes = {"training": {"epochs": epochs}} if epochs else {}
    if whole:
        changes |= {"models": names} if models else {}
        jobs = {"make study": partial(make_study, changes, threads)}
    else:
        jobs = {
            name: partial(train_block, changes | {"models": [name]}, threads)
            for name in names
        }
    with tempfile.TemporaryDirectory(prefix="comvae-study-") as folder:
        trees = {
            BEFORE: checkout(base, Path(folder, BEFORE)),
            AFTER: copy_repository(Path(folder, AFTER)),
        }
        for tree in trees.values():
            build(tree)
        frame = compare(trees, jobs, rounds)
    print(f"The digits study, {base} and now, {threads} threads, seconds:")
    print(frame.to_string(index=False, float_format="{:.3g}".format))
    name = f"{host()}-study" + "-whole" * whole + "-partial" * bool(models or epochs)
    print(write_csv(name, frame))


def checkout(revision: str, folder: Path) -> Path:
    """The files of a revision in `folder`. Exits where there is no such revision."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    _run(["git", "archive", "-o", archive, revision], ROOT)
    shutil.unpack_archive(archive, folder, filter="data")
    return folder


def build(tree: Path) -> None:
    """Build the C kernels of a version, wherever it keeps them."""
    if any(tree.glob("comvae/**/native.c")):
        setup = "import setuptools; setuptools.setup()"
        _run([sys.executable, "-c", setup, "build_ext", "--inplace"], tree)


def compare(trees: dict[str, Path], jobs: dict[str, Job], rounds: int) -> pd.DataFrame:
    """Columns model, before, after (seconds) and ratio; of several jobs the total last.

    A round does a job with each version; the ratio is the median of the rounds'
    ratios, for the total that of the rounds' sums. Exits where the versions train
    different numbers of seeds, epochs or units.
    """
    measured: dict[str, list[Round]] = {}
    for name, job in jobs.items():
        say(f"{name}: {rounds} times with each version")
        versions = {version: partial(job, tree) for version, tree in trees.items()}
        measured[name] = alternate(versions, rounds)
        before, after = (work(tree) for tree in trees.values())
        if before != after:
            sys.exit(f"Error: {name}: before trains {before}, after {after}")
    if len(jobs) > 1:
        measured["total"] = [
            {version: sum(times[version] for times in turn) for version in trees}
            for turn in zip(*measured.values(), strict=True)
        ]
    return pd.DataFrame(
        {
            "model": name,
            BEFORE: median(times, BEFORE),
            AFTER: median(times, AFTER),
            "ratio": median_ratio(times, BEFORE, AFTER),
        }
        for name, times in measured.items()
    )


def make_study(changes: dict, cores: int, tree: Path) -> float:
    """Seconds of the study from the command to the report, with nothing there before.

    `changes` are made to the settings of config/config.yaml; gaps are left out.
    """
    if any(tree.glob("comvae/**/gap")):
        changes = changes | {"gap": {"images": 0}}
    path = _configured(tree, changes)
    start = perf_counter()
    script = ("workflow/scripts/run.py", "--cores", cores, "--configfile", path)
    _run([sys.executable, *script], tree)
    return perf_counter() - start


def train_block(changes: dict, threads: int, tree: Path) -> float:
    """Seconds of training, as training.json has them, of a study of one block."""
    comvae = [sys.executable, "-m", "comvae"]
    _run([*comvae, "configure", _configured(tree, changes)], tree)
    [run] = tree.glob(RUNS)
    _run([*comvae, "fetch", "digits", "--output", DATASET], tree)
    dataset = ("--dataset", f"{DATASET}/dataset.json")
    options = ("--device", "cpu", "--threads", threads)
    _run([*comvae, "train", run, *dataset, *options], tree, OMP_NUM_THREADS=threads)
    return json.loads(run.with_name("training.json").read_text())["train_seconds"]


def work(tree: Path) -> dict[str, dict]:
    """By model, what each block of the study that was run has to train."""
    found = {}
    for path in sorted(tree.glob(RUNS)):
        config = json.loads(path.read_text())
        sizes = {name: config["training"][name] for name in SIZES}
        found[config["model"]] = sizes | {"seeds": config["seeds"]}
    return found


def _configured(tree: Path, changes: dict) -> Path:
    """A study file: the one of the tree with `changes`, and no results of it."""
    for made in ("results", "logs", ".snakemake"):
        shutil.rmtree(tree / made, ignore_errors=True)
    settings = yaml.safe_load((tree / "config" / "config.yaml").read_text())
    for key, value in changes.items():
        both = isinstance(value, dict) and key in settings
        settings[key] = settings[key] | value if both else value
    path = tree / "config" / "benchmark.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _run(command: list[object], folder: Path, **environment: object) -> None:
    """Run it in `folder`, with the code there. Exits with its output where it fails."""
    settings = {"PYTHONPATH": folder, "MLFLOW_DISABLE_TELEMETRY": "true"} | environment
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | {name: str(value) for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nError: {command[1]} failed in {folder}; see above")


if __name__ == "__main__":
    typer.run(study)
