"""The command line: `python -m benchmarks` measures and prints one table."""

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from benchmarks import scaling, table
from benchmarks.cases import ROOT, cases, catalogue
from benchmarks.measure import measure
from benchmarks.pythae_vae import installed


def bench(
    quick: Annotated[bool, typer.Option(help="A few short rows, one round.")] = False,
    full: Annotated[
        bool,
        typer.Option(help="CPU: also every compound model on MNIST; many minutes."),
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="`auto` takes the GPU if there is one."),
    ] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads; 0 leaves the choice to PyTorch.")
    ] = 0,
    models: Annotated[
        str, typer.Option(help="Names separated by commas. Default: all.")
    ] = "",
    seeds: Annotated[
        str, typer.Option(help="Sizes of blocks separated by commas, e.g. 1,5,20.")
    ] = "",
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each contestant runs.")
    ] = 3,
    scale: Annotated[
        bool, typer.Option(help="Measure also how the cost grows.")
    ] = True,
    output: Annotated[
        Path, typer.Option(help="Folder for the CSV and the chart.", file_okay=False)
    ] = ROOT / "results" / "benchmarks",
) -> None:
    """Time every model beside pythae, a plain PyTorch loop and the hardware's floor.

    Writes <host>.csv, <host>.about.json, <host>-scaling.csv and the chart. A run that
    --quick, --models or --seeds limits writes <host>-partial.* and leaves these alone.
    """
    # As comvae does, and before any thread starts: the comparison is not about numbers
    # so small that a processor computes them slowly.
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    use = _device(device)
    names, sizes = _models(models), _seeds(seeds)
    rounds = 1 if quick else rounds
    if not installed():
        say("pythae is not installed (make bench does it): its column stays empty")
    measured = []
    for case in cases(use.type, names, sizes, quick, full):
        try:
            measured.append(measure(case, use, rounds, say))
        except torch.OutOfMemoryError:
            say(f"{case}: left out, the GPU has too little memory")
    if not measured:
        sys.exit("Error: nothing was measured; see above")
    device_name = table.device_name(use)
    frame = table.to_frame(measured, device_name)
    about = table.record(measured, use)
    partial = quick or names or sizes
    name = table.host() + ("-partial" if partial else "")
    csv = table.write(output, name, frame, about)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table.to_table(measured, device_name))
    if scale and not quick:
        growth = scaling.measure_all(use, names, rounds, say)
        growth.insert(0, "device", device_name)
        table.write(output, f"{name}-scaling", growth, about | {"rows": None})
        console.print(scaling.to_table(growth, device_name))
    _draw(csv)


def main() -> None:
    """Entry point of `python -m benchmarks`."""
    typer.run(bench)


def _draw(csv: Path) -> None:
    print(csv)
    if find_spec("altair") is None:
        say("altair is not installed: no chart")
        return
    from benchmarks.chart import write

    for path in write(csv):
        print(path)


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        sys.exit("Error: --device: PyTorch sees no GPU here; use `auto` or `cpu`")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def _models(names: str) -> list[str] | None:
    chosen, known = names.split(",") if names else [], catalogue("mnist").models
    for name in chosen:
        if name not in known:
            sys.exit(f"Error: --models: unknown `{name}`, expected {', '.join(known)}")
    return chosen or None


def _seeds(numbers: str) -> list[int] | None:
    chosen = numbers.split(",") if numbers else []
    for number in chosen:
        if not number.isdecimal() or int(number) < 1:
            sys.exit(f"Error: --seeds: found `{number}`, expected numbers such as 1,5")
    return [int(number) for number in chosen] or None


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)
