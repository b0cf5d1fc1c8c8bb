"""Importers in processes of their own, as if on different hosts."""

import multiprocessing
import shutil
from pathlib import Path

# Processes that know nothing of each other, without seven seconds of imports in each.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["comvae.results.mlflow", "mlflow", "psycopg2"])


def copies(results: Path, folder: Path, count: int) -> list[Path]:
    """Copies of the results: their importers have no file in common."""
    return [
        Path(shutil.copytree(results, folder / str(number))) for number in range(count)
    ]


def start(folders: list[Path], uri: str) -> tuple[list, list]:
    """Start one importer for each folder, all at the same moment.

    Returns the processes, and the ends of pipes with what each of them says.
    """
    barrier = context.Barrier(len(folders) + 1)
    processes, said = [], []
    for folder in folders:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(
            target=_import, args=(folder, uri, barrier, sending), daemon=True
        )
        process.start()
        sending.close()
        processes.append(process)
        said.append(receiving)
    barrier.wait(timeout=120)
    return processes, said


def _import(folder: Path, uri: str, barrier, said) -> None:
    from comvae.results.mlflow import track

    barrier.wait(timeout=120)
    said.send(track(folder, uri=uri))
