"""A study whose MLflow server is away: it completes, says so, and imports later."""

import os
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.slow.server.server import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
PARTS = ("Snakefile", "comvae", "config", "profiles", "workflow", "environment.yml")
STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["vanilla"],
    "seeds": 2,
    "training": {"epochs": 1, "hidden": 8, "latent": 2},
    "gap": {"images": 0},
}
SENTENCE = "The runs of this study are NOT in MLflow."


@contextmanager
def reachable(port: int, address: str) -> Iterator[None]:
    """Whoever connects to `port` of loopback reaches the server at `address`."""
    target = (urlsplit(address).hostname, urlsplit(address).port)

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as other:
                to = {self.request: other, other: self.request}
                while True:
                    for ready in select.select(list(to), [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        to[ready].sendall(data)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Forward) as forward:
        forward.daemon_threads = True
        threading.Thread(target=forward.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            forward.shutdown()


def run(folder: Path, *command: str) -> tuple[int, str]:
    """Exit status and output of a command in the copy of the repository."""
    kept = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=kept | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def test_a_study_completes_without_its_server_and_imports_later(server, tmp_path):
    for name in PARTS:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY | {"tracking": {"uri": uri}}))
    command = ("snakemake", "--cores", "1", "--configfile", "study.yaml")
    results = tmp_path / "results"
    note = results / "mlflow" / "imported.txt"

    status, said = run(tmp_path, *command)
    assert status == 0, said
    assert (results / "tables" / "table1.csv").is_file()
    assert (results / "report" / "table1.md").is_file()
    told = note.read_text()
    assert told.startswith(SENTENCE)
    assert uri in told and "Connection refused" in told
    assert "python -m comvae track" in told
    assert told.strip() in said.partition("(100%) done")[2], (
        "at the end, on the terminal"
    )
    assert told in (tmp_path / "logs" / "track.log").read_text()

    status, said = run(tmp_path, *command)
    assert status == 0, said
    assert "rule track:" in said and "rule train:" not in said
    assert SENTENCE in said
    status, said = run(tmp_path, "comvae", "report")
    assert (status, said.count(SENTENCE)) == (0, 1), said
    status, said = run(tmp_path, "comvae", "track")
    assert status == 1
    assert said.startswith(f"Error: tracking.uri {uri}: the MLflow server cannot be")
    assert note.read_text() == told

    with reachable(port, server.uri):
        status, said = run(tmp_path, *command)
    assert status == 0, said
    assert SENTENCE not in said + note.read_text()
    assert note.read_text().startswith("MLflow: 2 imported")
    assert server.active_runs() == [
        (f"vanilla-digits-seed-{seed}", "FINISHED") for seed in (0, 1)
    ]
    status, said = run(tmp_path, *command)
    assert "Nothing to be done" in said
