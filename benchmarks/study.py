"""The digits study before and after: two versions of the code, measured side by side.

`python -m benchmarks.study BASE` trains every model of config/config.yaml with the code
of the revision BASE and with the files as they are now, in alternation, each in a
process of its own; with `--whole` it runs all of the study's stages with each. Both
are copied to a temporary folder: the repository and its results are not touched.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench import say
from benchmarks.cases import ROOT, catalogue
from benchmarks.clock import alternate, median, median_ratio
from benchmarks.table import host

WORKER = Path(__file__).with_name("study_worker.py")
BEFORE, AFTER = "before", "after"
RUNS = Path("results", "tables", "runs.csv")
KERNELS = Path("comvae", "kernels")


def study(
    base: Annotated[str, typer.Argument(help="The revision to compare with.")],
    after: Annotated[
        str, typer.Option(help="Another revision than the files as they are now.")
    ] = "",
    epochs: Annotated[
        int, typer.Option(min=0, help="Epochs; 0 takes those of config/config.yaml.")
    ] = 0,
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads; 0 leaves the choice to PyTorch.")
    ] = 0,
    models: Annotated[
        str, typer.Option(help="Names separated by commas. Default: all.")
    ] = "",
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each version runs.")
    ] = 3,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Time `make study` on --threads cores, rather than training; gaps, "
            "which the first versions did not measure, are left out.",
        ),
    ] = False,
) -> None:
    """Time the digits study with two versions of the code, on the CPU.

    Writes results/benchmarks/<host>-study.csv (-partial where --models or --epochs is
    given): model, before and after in seconds of a block, ratio; the total comes last.
    With --whole it is <host>-study-whole.csv, of one row in seconds of the study.
    """
    if whole and (models or epochs):
        sys.exit("Error: --whole is of all models and epochs; leave these options out")
    # a killed process leaves its `with` blocks, and with them the temporary folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = models.split(",") if models else list(catalogue("digits").models)
    threads = threads or torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="comvae-study-") as folder:
        trees = {
            BEFORE: checkout(base, Path(folder, BEFORE)),
            AFTER: checkout(after, Path(folder, AFTER)),
        }
        if whole:
            frame = compare_whole(trees, threads, rounds)
        else:
            frame = compare(trees, names, epochs, threads, rounds)
    partial = "-whole" if whole else "-partial" if models or epochs else ""
    path = ROOT / "results" / "benchmarks" / f"{host()}-study{partial}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, float_format="%.6g")
    title = f"The digits study, {base} and {after or 'now'}, {threads} threads"
    Console().print(to_table(frame, title))
    print(path)


def checkout(revision: str, folder: Path) -> Path:
    """The files of a revision in `folder`, those of today for "", its C kernels built.

    Exits where there is no such revision, or where they cannot be built.
    """
    if revision:
        _extract(revision, folder)
    else:
        listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = _git(*listed).decode().split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():  # else it has been removed, not yet in git
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
    _build(folder / KERNELS)
    return folder


def compare_whole(trees: dict[str, Path], cores: int, rounds: int) -> pd.DataFrame:
    """One row: model (`make study`), before, after (seconds) and ratio."""

    def run(version: str) -> float:
        say(f"make study, {version}, {cores} cores")
        seconds = make_study(trees[version], cores)
        say(f"{seconds:.1f} s")
        return seconds

    measured = alternate({name: lambda name=name: run(name) for name in trees}, rounds)
    runs = {len(pd.read_csv(tree / RUNS)) for tree in trees.values()}
    if len(runs) > 1:
        sys.exit(f"Error: the versions made tables of different length: {sorted(runs)}")
    return pd.DataFrame([_row("make study", measured)])


def make_study(tree: Path, cores: int) -> float:
    """Seconds from the command to the report, with nothing there before."""
    for made in ("results", "logs", ".snakemake"):
        shutil.rmtree(tree / made, ignore_errors=True)
    text = (tree / "config" / "config.yaml").read_text()
    if (tree / "comvae" / "gap").exists():
        text += "\ngap: {images: 0}\n"
    path = tree / "config" / "whole.yaml"
    path.write_text(text)
    start = perf_counter()
    script = ("workflow/scripts/run.py", "--cores", str(cores), "--configfile", path)
    _run([sys.executable, *script], tree)
    return perf_counter() - start


def compare(
    trees: dict[str, Path], models: list[str], epochs: int, threads: int, rounds: int
) -> pd.DataFrame:
    """Columns model, before, after (seconds of a block) and ratio; the total last.

    A round trains a model with each version; the ratio is the median of the rounds'
    ratios, for the total that of the rounds' sums.
    """
    rows, totals = [], [dict.fromkeys(trees, 0.0) for _ in range(rounds)]
    for model in models:
        say(f"{model}: {rounds} times with each version")
        results: dict[str, dict] = {}

        def train(version: str, model=model, results=results) -> float:
            results[version] = _train(trees[version], model, epochs, threads)
            return results[version]["seconds"]

        versions = {name: lambda name=name: train(name) for name in trees}
        measured = alternate(versions, rounds)
        _refuse_other_work(model, results)
        for total, times in zip(totals, measured, strict=True):
            for name in trees:
                total[name] += times[name]
        rows.append(_row(model, measured))
    return pd.DataFrame([*rows, _row("total", totals)])


def to_table(frame: pd.DataFrame, title: str) -> Table:
    """The comparison to read."""
    table = Table(title=title)
    for column in ("model", "before, s", "after, s", "times faster"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in frame.itertuples():
        numbers = (row.before, row.after, row.ratio)
        table.add_row(row.model, *(f"{number:.3g}" for number in numbers))
    return table


def _train(tree: Path, model: str, epochs: int, threads: int) -> dict:
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": str(threads),
    }
    done = subprocess.run(
        [sys.executable, WORKER, tree, model, str(epochs), str(threads)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"Error: {model} in {tree}: training failed; see above")
    return json.loads(done.stdout.splitlines()[-1])


def _extract(revision: str, folder: Path) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(_git("archive", "--format=tar", revision))
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            tar.extractall(folder, filter="data")


def _build(kernels: Path) -> None:
    """Build the C kernels, if there are any; those installed here are copied."""
    sources, ours = (
        {path.name: path.read_bytes() for path in folder.glob("*.[ch]")}
        for folder in (kernels, ROOT / KERNELS)
    )
    if not sources:
        return
    installed = list((ROOT / KERNELS).glob("_native*.so"))
    if installed and sources == ours:
        for library in installed:
            shutil.copy2(library, kernels)
        return
    build = "import setuptools; setuptools.setup()"
    _run([sys.executable, "-c", build, "build_ext", "--inplace"], kernels.parents[1])


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if done.returncode:
        sys.exit(f"Error: git {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def _run(command: list[object], folder: Path) -> None:
    """Run it in `folder`, with the code there. Exits with its output where it fails."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nError: {command[1]} failed in {folder}; see above")


def _refuse_other_work(model: str, results: dict[str, dict]) -> None:
    """Both versions must train as many seeds, epochs and units."""
    keys = ("epochs", "batch_size", "hidden", "latent", "seeds")
    before, after = (
        {key: results[version]["work"][key] for key in keys}
        for version in (BEFORE, AFTER)
    )
    if before != after:
        sys.exit(f"Error: {model}: before trains {before}, after {after}")


def _row(name: str, rounds: list[dict[str, float]]) -> dict[str, object]:
    return {
        "model": name,
        BEFORE: median(rounds, BEFORE),
        AFTER: median(rounds, AFTER),
        "ratio": median_ratio(rounds, BEFORE, AFTER),
    }


if __name__ == "__main__":
    typer.run(study)
