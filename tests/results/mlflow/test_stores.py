"""A store that is locked, damaged, away, or none at all."""

import json
import re
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from comvae.cli import app
from comvae.errors import ComvaeError, SettingsError
from comvae.results.mlflow import TrackingError, track
from comvae.results.mlflow.note import failed_import, note_path
from comvae.study.loading import load_study
from tests.results import written
from tests.results.mlflow.blocks import (
    EPOCHS,
    write_block,
    write_study,
)
from tests.support import ROOT, study_in


def test_a_locked_store_is_waited_for_and_its_holder_named(results, monkeypatch):
    write_study(results)
    database = results / "mlflow" / "mlflow.db"
    hold = (
        "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1]);"
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True);"
        "time.sleep(float(sys.argv[2]))"
    )

    def holder(seconds):
        command = [sys.executable, "-c", hold, database, str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    with holder(1.0):
        assert track(results).imported == 4
    monkeypatch.setattr("comvae.results.mlflow.store.LOCKED", 0.2)
    with holder(60) as process:
        with pytest.raises(TrackingError, match=f"process {process.pid} .*end it"):
            track(results)
        process.kill()


@pytest.fixture(scope="module")
def answering():
    """The address of a server whose answer is the status that its path begins with."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            page = b"<html>\n<p>Welcome</p>\n</html>" * 50
            self.send_response(int(self.path.split("/")[1]))
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ftp://me:secret@nowhere/x", "MLflow cannot use it"),
        ("postgresql://me:secret@127.0.0.1:9/db", "cannot use it .*refused"),
        ("http://me:secret@127.0.0.1:9", "cannot be reached .*Connection refused"),
        (
            "http://me:secret@no.such.host.invalid",
            "cannot be reached .*Failed to",
        ),
        ("https://me:secret@ANSWERING/200", "cannot be reached .*SSL"),
        ("http://me:secret@ANSWERING/200", "what answers there is no MLflow server"),
        ("http://me:secret@ANSWERING/404", "no MLflow server .HTTP status 404"),
        (
            "http://me:secret@ANSWERING/401",
            "refuses this user; set MLFLOW_",
        ),
        ("http://me:secret@ANSWERING/403", "forbids it .*allowed-hosts"),
        ("http://me:secret@ANSWERING/500", "fails .HTTP status 500.; look at its log"),
        ("http://me:secret@ANSWERING/503", "fails .HTTP status 503.; look at its log"),
        ("http://me:secret@127.0.0.1:99999", "is no address, expected"),
        ("http://me:secret@[::1", "is no address, expected"),
        ("http://me:secret@", "is no address, expected"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_message(
    results, monkeypatch, answering, uri, words
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    write_block(results, "vanilla", [0])
    uri = uri.replace("ANSWERING", answering)
    with pytest.raises(TrackingError, match=words) as raised:
        track(results, uri=uri)
    message = str(raised.value)
    assert message.startswith(f"tracking.uri {uri.replace('me:secret@', '')}: ")
    assert "secret" not in message and "\n" not in message and "<p>" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "uri", ["http://me:secret@127.0.0.1:9", "postgresql://there/db?password=secret"]
)
def test_a_study_file_with_a_password_is_refused_without_showing_it(tmp_path, uri):
    study = tmp_path / "study.yaml"
    text = (ROOT / "config" / "config.yaml").read_text()
    study.write_text(f"{text}\ntracking: {{uri: '{uri}'}}\n")
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        load_study(source=study, models=ROOT / "config" / "models.yaml")
    assert "tracking.uri" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_server_that_never_answers_is_given_up(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    write_block(results, "vanilla", [0])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match=r"cannot be reached .*timed out"):
            track(results, uri=uri)


def command_track(results, *options):
    """`comvae track` as the shell sees it: exit status, output, errors."""
    done = CliRunner().invoke(app, ["track", "--results", str(results), *options])
    return done.exit_code, done.stdout, done.stderr


def test_a_study_goes_on_where_its_import_fails(results):
    write_study(results)
    blocks = [
        asdict(written.block_of(written.config_of(model, (0, 1), EPOCHS)))
        for model in ("vanilla", "compound-mixture")
    ]
    plan = dict(study="test", datasets=["digits"], models={}, blocks=blocks)
    study_in(results).mkdir(parents=True)
    (study_in(results) / "study.json").write_text(
        json.dumps(plan | {"tracking_uri": None, "gap_images": 0})
    )
    database, note = results / "mlflow" / "mlflow.db", note_path(results, "test")
    database.write_text("this is no database " * 100)
    status, said, message = command_track(results)
    assert (status, said) == (1, "")
    assert message.startswith("Error: tracking.uri sqlite:///")
    assert not note.exists()
    status, said, message = command_track(results, "--keep-going")
    assert (status, said) == (0, "")
    assert message == note.read_text() == failed_import(results, "test")
    for words in (f"rename {database}", "python -m comvae track", "NOT in MLflow"):
        assert words in message
    # By hand, elsewhere: the study's own runs are still not where it says.
    other = f"sqlite:///{results}/other.db"
    assert command_track(results, "--uri", other)[0] == 0
    assert failed_import(results, "test")
    database.unlink()
    status, said, message = command_track(results)
    assert (status, said) == (0, note.read_text())
    assert said.startswith("MLflow: 4 imported")
    assert not failed_import(results, "test")


def test_a_damaged_database_is_named_with_the_cure(results):
    write_study(results)
    database = results / "mlflow" / "mlflow.db"
    database.write_text("this is no database " * 100)
    with pytest.raises(ComvaeError, match=re.escape(f"rename {database}")):
        track(results)
