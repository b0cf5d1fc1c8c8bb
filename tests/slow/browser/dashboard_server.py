"""The dashboard, served as `comvae dashboard` serves it, on a free port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.slow.support import free_port, wait_for
from tests.support import ROOT

PATIENCE = 60  # seconds until a server that does not answer is an error


@dataclass(frozen=True)
class Server:
    """A running server: its port and its process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address, which ends without a slash."""
        return f"http://localhost:{self.port}"


@contextmanager
def served(
    results: Path, log: Path, *words: str | Path, folder: Path = Path("/")
) -> Iterator[Server]:
    """`comvae dashboard`, or the module and arguments `words`, run in `folder`."""
    port = free_port()
    words = words or ("comvae", "dashboard", "--results", results, "--")
    command = [sys.executable, "-m", *map(str, words)]
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [*command, "--server.port", str(port)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: _listens(port), "no answer", log.read_text, PATIENCE)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
