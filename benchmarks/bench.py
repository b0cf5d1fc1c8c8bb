"""The command line: `python -m benchmarks` measures and prints one table."""

import sys
from typing import Annotated, Literal

import pandas as pd
import torch
import typer

from benchmarks.cases import cases, catalogue
from benchmarks.harness import say, write
from benchmarks.measure import JAX, PYTHAE, installed, measure

Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as it has.")]
Models = Annotated[str, typer.Option(help="Names, separated by commas; else all.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each contestant runs.")]


def bench(
    quick: Annotated[bool, typer.Option(help="A few short rows, one round.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="`auto` takes the GPU if there is one."),
    ] = "auto",
    threads: Threads = 0,
    models: Models = "",
    seeds: Annotated[str, typer.Option(help="Sizes of blocks, e.g. 1,5,20.")] = "",
    rounds: Rounds = 3,
) -> None:
    """Time every model beside JAX, pythae, a plain loop and the hardware's floor.

    Writes results/benchmarks/<host>.csv; a run that --quick, --models or --seeds limits
    writes <host>-partial.csv and leaves it alone. Of the
    compound models on MNIST a CPU, which needs minutes for each, measures those that
    --models names, by default compound-mixture.
    """
    # As comvae does, and before any thread starts: the comparison is not about numbers
    # so small that a processor computes them slowly.
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("Error: --device: PyTorch sees no GPU here; use `auto` or `cpu`")
    gpu = device != "cpu" and torch.cuda.is_available()
    use = torch.device("cuda" if gpu else "cpu")
    names, sizes = _models(models), _seeds(seeds)
    for peer in (JAX, PYTHAE):
        if not installed(peer):
            say(f"{peer} is not installed (make bench does it): its column stays empty")
    measured = []
    for case in cases(use.type, names, sizes, quick):
        try:
            measured.append(measure(case, use, 1 if quick else rounds))
            write("-partial", pd.DataFrame(measured))  # a kill loses one row at most
        except torch.OutOfMemoryError:
            say(f"{case}: left out, the GPU has too little memory")
    if not measured:
        sys.exit("Error: nothing was measured; see above")
    frame = pd.DataFrame(measured)
    shown = frame.loc[:, :"images_per_second"]
    print(f"On {frame['device'].iat[0]}:")
    print(shown.to_string(index=False, na_rep="", float_format="{:,.3g}".format))
    print(write("-partial" if quick or names or sizes else "", frame))


def _models(names: str) -> list[str]:
    chosen, known = names.split(",") if names else [], catalogue("mnist").models
    for name in chosen:
        if name not in known:
            sys.exit(f"Error: --models: unknown `{name}`, expected {', '.join(known)}")
    return chosen


def _seeds(numbers: str) -> list[int]:
    chosen = numbers.split(",") if numbers else []
    for number in chosen:
        if not number.isdecimal() or int(number) < 1:
            sys.exit(f"Error: --seeds: found `{number}`, expected numbers such as 1,5")
    return [int(number) for number in chosen]
