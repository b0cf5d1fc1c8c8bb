"""The dashboard, served as `make dashboard` serves it, on a free port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
APP = Path("dashboard", "render", "app.py")
PATIENCE = 60  # seconds until a server that does not answer is an error


@dataclass(frozen=True)
class Server:
    """A running server: its address, and its process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address, which ends without a slash."""
        return f"http://localhost:{self.port}"


@contextmanager
def served(results: Path, log: Path, script: Path = APP) -> Iterator[Server]:
    """`streamlit run script` at the root of the repository, showing `results`."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [*command, "--server.port", str(port)],
            cwd=ROOT,
            env=os.environ | {"COMVAE_RESULTS": str(results)},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, port, log)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the dashboard does not answer: {log.read_text()}")
