"""A study whose MLflow server is away: it completes, says so, and imports later."""

import select
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.slow.support import TINY, free_port, make_study, run, write_study
from tests.support import study_in

STUDY = TINY | {"seeds": 2}
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


def test_a_study_completes_without_its_server_and_imports_later(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    study = write_study(tmp_path, STUDY | {"tracking": {"uri": uri}})
    results = tmp_path / "results"
    note = results / "mlflow" / "imported" / "tiny.txt"

    def complete() -> str:
        done = make_study(tmp_path, study)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def comvae(name: str) -> tuple[int, str]:
        done = run([sys.executable, "-m", "comvae", name], tmp_path)
        return done.returncode, done.stdout

    said = complete()
    assert (study_in(results) / "tables" / "table1.csv").is_file()
    assert (study_in(results) / "report" / "table1.md").is_file()
    told = note.read_text()
    assert told.startswith(SENTENCE)
    assert uri in told and "Connection refused" in told
    assert "python -m comvae track" in told
    at_the_end = said.partition("(100%) done")[2]
    assert told.strip() in at_the_end, "on the terminal"
    assert told in (tmp_path / "logs" / "tiny" / "track.log").read_text()

    said = complete()
    assert "rule track:" in said and "rule train:" not in said
    assert SENTENCE in said
    status, said = comvae("report")
    assert (status, said.count(SENTENCE)) == (0, 1), said
    status, said = comvae("track")
    assert status == 1
    assert said.startswith(f"Error: tracking.uri {uri}: the MLflow server cannot be")
    assert note.read_text() == told

    with reachable(port, server.uri):
        said = complete()
    assert SENTENCE not in said + note.read_text()
    assert note.read_text().startswith("MLflow: 2 imported")
    runs = [(f"vanilla-digits-seed-{seed}", "FINISHED") for seed in (0, 1)]
    assert server.active_runs() == runs
    assert "Nothing to be done" in complete()
