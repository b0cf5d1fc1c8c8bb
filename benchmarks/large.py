"""How long a study of 10,000 runs takes to plan and to aggregate.

`python -m benchmarks.large` writes a synthetic study to a temporary folder, in blocks
of one seed and of 20, and times the commands that users call.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
import yaml

from benchmarks.cases import ROOT
from benchmarks.harness import say, write
from tests.results.written import write_large_results
from tests.support import MODELS


def large(
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each model.")] = 1250,
    gap_images: Annotated[int, typer.Option(min=0, help="Of each split.")] = 0,
) -> None:
    """Time planning a study without results, and the tables of a finished one.

    Writes results/benchmarks/<host>-large.csv.
    """
    rows = []
    for size in (1, 20):
        with tempfile.TemporaryDirectory(prefix="comvae-large-") as folder:
            rows += measure(Path(folder), seeds, size, gap_images)
    frame = pd.DataFrame(rows)
    print(frame.round(1).to_string(index=False))
    print(write("-large", frame))


def measure(folder: Path, seeds: int, size: int, gap_images: int) -> list[dict]:
    """One row per command, for blocks of `size` seeds."""
    study, results = folder / "study.yaml", folder / "results"
    settings = {"study": "large", "datasets": ["digits"], "seeds": seeds}
    settings["training"] = {"seeds_per_block": size}
    study.write_text(yaml.safe_dump(settings))
    plan = ["snakemake", "-n", "--directory", folder / "plan", "--configfile", study]
    commands = {
        "snakemake -n": plan,
        "snakemake -n --quiet": [*plan, "--quiet"],
        "comvae tables": ["comvae", "tables", "--results", results],
    }
    blocks = len(MODELS) * -(-seeds // size)
    say(f"{len(MODELS) * seeds} runs in {blocks} blocks: writing results")
    sizes = {"seeds": seeds, "seeds_per_block": size, "gap_images": gap_images}
    write_large_results(results, **sizes, tables=False)
    rows = []
    for what, command in commands.items():
        say(f"{what}, {blocks} blocks")
        row = {"what": what, "seeds_per_block": size, "blocks": blocks}
        rows.append(row | timed([sys.executable, "-m", *command]))
    return rows


def timed(command: list) -> dict[str, float]:
    """seconds, cpu_seconds and peak_mb of a command; exits where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"Error: {command}: {said.read()[-2000:]}")
    cpu = used.ru_utime + used.ru_stime
    return dict(seconds=seconds, cpu_seconds=cpu, peak_mb=used.ru_maxrss / 1024)


if __name__ == "__main__":
    typer.run(large)
