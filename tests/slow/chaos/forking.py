"""A process that has imported ComVAE, and forks a process of its own for each command.

What takes `comvae` seconds is the import of PyTorch. A fork has it behind it, and is
in all else a process that runs the command line: it can be killed like any other.
Orders come on standard input, one JSON object a line; the answers are the process id,
and then how it ended.
"""

import gc
import importlib
import json
import os
import sys

import torch

IMPORTED = [
    "comvae.cli",
    "comvae.datasets.fetching",
    "comvae.evaluation.gap",
    "comvae.evaluation.pictures",
    "comvae.results.report",
    "comvae.results.tables",
    "comvae.results.trail",
    "comvae.results.weights",
    "comvae.study.lock",
    "sklearn.datasets",
]


def main() -> None:
    """Serve orders until standard input ends."""
    torch.set_num_threads(1)  # threads would not survive the fork
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a child would copy every page
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            return become(**order)
        answer(child)
        answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(folder: str, printed: str, arguments: list[str]) -> None:
    """Be the command, in `folder`, with its output in the files `printed`.{out,err}."""
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, kind in ((1, "out"), (2, "err")):
        path = f"{printed}.{kind}"
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.argv = ["comvae", *arguments]
    try:
        sys.modules["comvae.cli"].main()
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)  # taking PyTorch down in order takes a second


def answer(number: int) -> None:
    print(number, flush=True)


if __name__ == "__main__":
    main()
