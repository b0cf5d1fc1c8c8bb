"""A server that has imported what a study needs, and forks a process for each command.

What takes a small study its time is that its processes import PyTorch and Snakemake.
A fork has that behind it, and is in all else a process that runs the command line: it
can be killed like any other. Orders come over a socket of this machine; the answers are
the process id, and then how it ended.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import ROOT

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
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "snakemake.cli",
    "sklearn.datasets",
]
NUMBER = struct.Struct("i")
PYTHON = """#!{python} -IS
import json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
order = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [struct.pack("i", len(order))], [0, 1, 2])
server.sendall(order)
pid, status = struct.unpack("ii", server.recv(8, socket.MSG_WAITALL))
sys.exit(status)
"""


@contextlib.contextmanager
def forking(folder: Path) -> Iterator[Path]:
    """The path of a `python` in `folder` whose processes are forks of a server."""
    address, python = folder / "socket", folder / "python"
    python.write_text(PYTHON.format(python=sys.executable, address=str(address)))
    python.chmod(0o755)
    command = [sys.executable, "-m", "tests.slow.forks", str(address), str(python)]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        while not address.exists():
            assert server.poll() is None, "the server has ended"
            time.sleep(0.1)
        yield python
    finally:
        server.kill()
        server.wait()


def ask(
    python: Path, arguments: Sequence[str], folder: Path, files: Sequence[int], **more
) -> socket.socket:
    """Have `python arguments` run in `folder`, with `files` as standard ones and `more`
    in its environment; where the answers come from."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(str(python.with_name("socket")))
    order = json.dumps([[*arguments], str(folder), os.environ | more]).encode()
    socket.send_fds(server, [NUMBER.pack(len(order))], [*files])
    server.sendall(order)
    return server


def answered(server: socket.socket) -> int:
    """The next number that the server tells."""
    return NUMBER.unpack(server.recv(NUMBER.size, socket.MSG_WAITALL))[0]


def serve(address: str, python: str) -> None:
    """Serve orders for ever."""
    import torch

    torch.set_num_threads(1)  # threads would not survive the fork
    for name in IMPORTED:
        importlib.import_module(name)
    sys.executable = python  # so that the processes of a process are forks too
    gc.freeze()  # a collection in a child would copy every page
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{address}.new")
    server.listen(64)
    os.rename(f"{address}.new", address)
    while True:
        asking, _ = server.accept()
        if os.fork() == 0:
            server.close()
            answer(asking)
        asking.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def answer(asking: socket.socket) -> None:
    """Fork what is asked for, and tell its process id, and how it ended."""
    size, files, _, _ = socket.recv_fds(asking, NUMBER.size, 3)
    order = asking.recv(NUMBER.unpack(size)[0], socket.MSG_WAITALL)
    child = os.fork()
    if child == 0:
        asking.close()
        become(files, *json.loads(order))
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # who asked may have been killed
        asking.sendall(NUMBER.pack(child))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        asking.sendall(NUMBER.pack(status))
    os._exit(0)


def become(files: list[int], arguments: list[str], folder: str, environment) -> None:
    """Be `python arguments`, in `folder`, with these files as standard ones."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # the server's own believe that they can seek, as its files can
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", line_buffering=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    status = 1
    try:
        assert arguments[0] == "-m", arguments
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # taking PyTorch down in order takes a second


if __name__ == "__main__":
    serve(*sys.argv[1:])
