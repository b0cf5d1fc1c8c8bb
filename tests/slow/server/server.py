"""A real MLflow server on a real PostgreSQL, on loopback, in a temporary folder."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.slow.support import free_port, wait_for

PATIENCE = 120  # seconds until a server that does not answer is an error
INITDB = ("--username", "mlflow", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
# The data are thrown away, so nothing waits for the disk.
HASTY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@contextmanager
def postgresql() -> Iterator[str]:
    """The URI of an empty database, reached through a Unix socket alone."""
    # Short, for the socket, and of its own: pytest's folders are closed to others.
    root = Path(tempfile.mkdtemp(prefix="comvae-pg-"))
    options: dict = {"cwd": root}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(root, owner.pw_uid, owner.pw_gid)
        options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    try:
        subprocess.run(
            [program("initdb"), "--pgdata", root / "data", *INITDB],
            check=True,
            stdout=subprocess.DEVNULL,
            **options,
        )
        settings = ["listen_addresses=", f"unix_socket_directories={root}", *HASTY]
        command = [program("postgres"), "-D", root / "data"]
        command += [part for setting in settings for part in ("-c", setting)]
        with running(command, root / "postgres.log", **options) as process:
            ready = [program("pg_isready"), "--host", root, "--quiet"]
            wait_until_ready(
                lambda: subprocess.run(ready).returncode == 0,
                process,
                root / "postgres.log",
            )
            yield f"postgresql://mlflow@/postgres?host={root}"
    finally:
        shutil.rmtree(root)


@contextmanager
def mlflow_server(
    database: str,
    folder: Path,
    *options: str,
    workers: int = 1,
    port: int | None = None,
    **environment: str,
) -> Iterator[str]:
    """The address of an MLflow server that keeps artifacts below `folder`."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(workers)]
    command += ["--backend-store-uri", database]
    command += ["--artifacts-destination", folder / "artifacts", *options]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"server-{port}.log"
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", **environment}
    with running(command, log, cwd=folder, env=os.environ | settings) as process:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(lambda: answers(f"{address}/health"), process, log)
        yield address


@contextmanager
def running(
    command: list, log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A program and its children, ended at the end; `log` has what they say."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
            **options,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """Have this process ended when the test run is killed (`man 2 prctl`)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def wait_until_ready(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path
) -> None:
    """Return once a program is ready; an error where it ends or takes long."""

    def ready_or_dead() -> bool:
        assert process.poll() is None, f"{process.args}:\n{log.read_text()}"
        return ready()

    wait_for(ready_or_dead, f"{process.args} is not ready", log.read_text, PATIENCE)


def answers(address: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def program(name: str) -> Path:
    """A program of PostgreSQL, which Debian keeps away from PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise RuntimeError(
            f"/usr/lib/postgresql/*/bin/{name} is not there; on Debian and Ubuntu it "
            "comes with apt-get install --no-install-recommends postgresql"
        )
    return found[-1]
