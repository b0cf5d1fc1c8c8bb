"""A campaign on a GPU, in calls of a few minutes: `python -m benchmarks.campaign`.

In this order: the tests of the kernels, the bench, then seed by seed, cheapest model
first, each model of a study: its training, metrics and gaps. What is done is not done
again, and a training that was stopped goes on from its checkpoint.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import torch
import typer

from benchmarks import images
from benchmarks.cases import ROOT, Case, cases
from benchmarks.harness import say
from benchmarks.measure import circumstances, measure
from comvae.datasets.loading import Dataset
from comvae.engine.memory import bytes_per_seed
from comvae.engine.progress import epochs_shown, start_logging
from comvae.engine.training import train
from comvae.errors import StoppedError
from comvae.evaluation.elbo import evaluate
from comvae.evaluation.gap import measure as measure_gaps
from comvae.files import sha256_of, write_text
from comvae.results import paths
from comvae.results.blocks import is_trained, write_table
from comvae.results.weights import device_name, load_vae, pick_device, save_block
from comvae.study.loading import Catalogue, load_study
from comvae.study.run_config import RunConfig

CHECKPOINTS = 300.0  # seconds: those of a compound model are 1.5 GB
SMALL = 2**21  # bytes of weights that are worth a place beside the tables
KERNELS, BENCH, MANIFEST = "kernels.txt", "bench.csv", "manifest.json"
CAMPAIGN = "campaign.json"
PARTS = ("kernels", "bench", "runs")
RUNS, ALL_GAPS, HISTORIES = "runs.csv", "gaps.parquet", "histories.csv"


def campaign(
    output: Annotated[Path, typer.Option(help="Folder of all that it finds.")] = (
        ROOT / "results" / "campaign"
    ),
    study: Annotated[Path, typer.Option(help="Whose models, seeds and settings.")] = (
        ROOT / "config" / "paper.yaml"
    ),
    dataset: Annotated[str, typer.Option(help="`mnist` or `digits`.")] = "mnist",
    minutes: Annotated[
        float, typer.Option(help="It stops by itself after so many.")
    ] = 9,
    only: Annotated[
        str, typer.Option(help="Some of its parts, separated by commas.")
    ] = ",".join(PARTS),
    quick: Annotated[bool, typer.Option(help="A short bench.")] = False,
    rounds: Annotated[int, typer.Option(help="Of each row of the bench.")] = 3,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="`auto` takes the GPU if there is one."),
    ] = "auto",
) -> None:
    """Measure on a GPU what no other machine can; again to go on.

    Tables and a manifest with their checksums lie in the output folder after each call.
    Exit status 75: something is left to do. 1: a test of the kernels failed.
    """
    start_logging()
    torch.set_flush_denormal(True)
    clock, use = _Clock(60 * minutes), pick_device(device)
    parts, data = only.split(","), images.named(dataset)
    catalogue = load_study(source=study, models=ROOT / "config" / "models.yaml")
    if not set(parts) <= set(PARTS):
        sys.exit(f"Error: --only: found `{only}`, expected some of {', '.join(PARTS)}")
    if data.name != dataset:
        sys.exit(f"Error: found no {dataset}; fetch it, or set COMVAE_MIRROR")
    _claim(output / CAMPAIGN, catalogue, dataset, use)
    status = 0
    try:
        if "kernels" in parts and use.type == "cuda":
            status = _kernels(output / KERNELS, clock)
        if "bench" in parts:
            rows = cases(use.type, list(catalogue.models), quick=quick)
            _bench(output / BENCH, rows, rounds, use, clock)
        if "runs" in parts:
            for config in _runs(catalogue, dataset, data):
                _run(output / "runs", config, data, catalogue, use, clock)
    except StoppedError as stopped:
        say(str(stopped))
        status = 75
    finally:
        _collect(output, data.name, use)
    raise typer.Exit(status)


class _Clock:
    """The time that a call has."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def over(self) -> bool:
        return self.left() <= 0

    def check(self, *_: object) -> None:
        """Raise StoppedError where the time is over."""
        if self.over():
            raise StoppedError("the time of this call is over; the next one goes on")


def _claim(
    path: Path, catalogue: Catalogue, dataset: str, device: torch.device
) -> None:
    """Write down whose results a folder holds: what is there is not made again.

    Exits where they are of other settings, other data or another device.
    """
    own = catalogue.model_dump(mode="json")
    own |= {"dataset": dataset, "device": device_name(device)}
    if path.exists() and json.loads(path.read_text("utf-8")) != own:
        sys.exit(
            f"Error: {path}: is of a campaign with other settings, data or device; "
            "choose another --output, or remove that folder"
        )
    write_text(path, json.dumps(own, indent=2) + "\n")


def _kernels(log: Path, clock: _Clock) -> int:
    """Run the tests of the kernels, once; returns whether one failed."""
    if log.exists():
        return int(not log.read_text("utf-8").endswith("exit status 0\n"))
    clock.check()
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider"]
    try:
        tests = subprocess.run(
            [*command, "tests/slow/gpu"],
            cwd=ROOT,
            env=os.environ | {"PYTHONUTF8": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=clock.left(),
        )
    except subprocess.TimeoutExpired:
        raise StoppedError("the tests of the kernels need a longer call") from None
    print(tests.stdout)
    write_text(log, f"{tests.stdout}\nexit status {tests.returncode}\n")
    return int(tests.returncode != 0)


def _bench(
    table: Path, rows: list[Case], rounds: int, device: torch.device, clock: _Clock
) -> None:
    """The rows of the bench that are not in its table yet."""
    frame = pd.read_csv(table) if table.exists() else pd.DataFrame()
    done = set(zip(frame["model"], frame["seeds"], strict=True)) if len(frame) else {}
    for case in rows:
        if (case.model, case.seeds) in done:
            continue
        clock.check()
        try:
            row = pd.DataFrame([measure(case, device, rounds)])
        except torch.OutOfMemoryError:
            say(f"{case}: left out, the GPU has too little memory")
            continue
        frame = pd.concat([frame, row])
        write_table(table, frame)


def _runs(catalogue: Catalogue, dataset: str, data: Dataset) -> Iterator[RunConfig]:
    """One run after the other: every model once before any has a second seed."""
    pixels, models = data.train.shape[1], catalogue.models
    seeds = {model: catalogue.study.seeds_of(model) for model in models}

    def cost(model: str) -> int:
        return bytes_per_seed(catalogue.run_config(dataset, model, [0]), pixels)

    for number in range(max(map(len, seeds.values()))):
        for model in sorted(models, key=cost):
            for seed in seeds[model][number : number + 1]:
                yield catalogue.run_config(dataset, model, [seed])


def _run(
    folder: Path,
    config: RunConfig,
    data: Dataset,
    catalogue: Catalogue,
    device: torch.device,
    clock: _Clock,
) -> None:
    """Train and evaluate one seed of one model and measure its gaps; what is large of
    it is removed at the end."""
    seed, study = config.seeds[0], catalogue.study
    folder = folder / config.model / f"seed-{seed}"
    metrics, gaps = folder / paths.METRICS, folder / paths.GAPS
    if gaps.exists():
        return
    clock.check()
    write_text(folder / paths.CONFIG, config.to_json())
    what, state = f"{config.model} seed {seed}", folder / paths.STATE
    if not is_trained(folder, config):
        with epochs_shown(what, config.training.epochs, len(data.train)) as show:
            trained = train(config, data, device, show, state, clock.over, CHECKPOINTS)
        save_block(folder, config, trained, device)
    vae = load_vae(folder, config, data.train.shape[1], device)
    clock.check()
    write_table(metrics, evaluate(vae, config, data, study.evaluation, device))
    start = time.perf_counter()
    found = measure_gaps(vae, config, data, study.gap, device, clock.check)
    say(f"{what}: gaps took {time.perf_counter() - start:.1f} s")
    write_table(gaps, found)
    shutil.rmtree(state, ignore_errors=True)  # there is none where nothing was saved
    if (folder / paths.WEIGHTS).stat().st_size > SMALL:
        (folder / paths.WEIGHTS).unlink()


def _collect(output: Path, dataset: str, device: torch.device) -> None:
    """One table of each kind from the folders of all runs, and the manifest."""
    tables: dict[str, list[pd.DataFrame]] = {RUNS: [], HISTORIES: [], ALL_GAPS: []}
    hashes = {}
    for gaps in sorted(output.glob(f"runs/*/*/{paths.GAPS}")):
        folder, model = gaps.parent, gaps.parent.parent.name
        training = json.loads((folder / paths.TRAINING).read_text("utf-8"))
        hashes[model] = training["config_hash"]
        rows = pd.read_csv(folder / paths.METRICS)
        rows["parameters"] = training["parameters"]
        rows["train_seconds"] = training["train_seconds"]
        frames = rows, pd.read_csv(folder / paths.HISTORY), pd.read_parquet(gaps)
        for name, frame in zip(tables, frames, strict=True):
            frame.insert(0, "model", model)
            tables[name].append(frame)
    for name, frames in tables.items():
        if frames:
            write_table(output / name, pd.concat(frames, ignore_index=True))
    files = [path for path in output.iterdir() if path.name != MANIFEST]
    manifest = circumstances(device) | {
        "dataset": dataset,
        "config_hashes": hashes,
        "sha256": {path.name: sha256_of(path) for path in files if path.is_file()},
    }
    write_text(output / MANIFEST, json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(campaign)
