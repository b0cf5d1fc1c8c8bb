"""`comvae` in processes that a test may kill, and what they leave behind."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT

PATIENCE = 120.0  # seconds until a hung command fails its test
STUDY = {
    "study": "chaos",
    "datasets": ["digits"],
    "seeds": 2,
    "training": {"epochs": 3, "hidden": 16, "latent": 3},
    "evaluation": {"samples": 2},
    "gap": {
        "images": 12,
        "marginal_draws": 3,
        "optimum_draws": 8,
        "optimum_iterations": 20,
        "final_draws": 50,
        "importance_draws": 100,
        "ais": "off",
    },
}


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status, -9 where it was killed."""

    status: int
    printed: str
    errors: str


class Running:
    """One command in a process of its own."""

    def __init__(self, answers: Any, printed: Path) -> None:
        self._answers, self._printed = answers, printed
        self.pid = int(answers.readline())

    def ended(self, within: float) -> bool:
        """Whether it has ended, after so many seconds at most."""
        return bool(select.select([self._answers], [], [], within)[0])

    def wait(self) -> Done:
        """How it ended; a command that hangs is killed and fails the test."""
        if not self.ended(PATIENCE):
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError(f"hung: {self._text('err')}")
        status = int(self._answers.readline())
        return Done(status, self._text("out"), self._text("err"))

    def _text(self, kind: str) -> str:
        return self._printed.with_suffix(f".{kind}").read_text()


class Comvae:
    """Runs commands one after the other; a context manager."""

    def __enter__(self) -> "Comvae":
        self._prints = tempfile.TemporaryDirectory()
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.slow.chaos.forking"],
            cwd=ROOT,
            env=os.environ
            | {"COMVAE_MIRROR": "", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._forking.stdin.close()
        self._forking.wait(timeout=PATIENCE)
        self._prints.cleanup()

    def start(self, folder: Path, *arguments: object) -> Running:
        """Start a command in `folder`."""
        printed = Path(self._prints.name, "printed")
        words = [*map(str, arguments)]
        order = dict(folder=str(folder), printed=str(printed), arguments=words)
        self._forking.stdin.write(json.dumps(order).encode() + b"\n")
        return Running(self._forking.stdout, printed)

    def __call__(self, folder: Path, *arguments: object) -> Done:
        """Run a command in `folder` to its end."""
        return self.start(folder, *arguments).wait()

    def succeeds(self, folder: Path, *arguments: object) -> str:
        """What a command prints that must not fail: results, then messages."""
        done = self(folder, *arguments)
        assert done.status == 0 and "Traceback" not in done.errors, done
        return done.printed + done.errors

    def refused(self, folder: Path, *arguments: object) -> str:
        """The one message of a command that must fail."""
        done = self(folder, *arguments)
        lines = done.errors.splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
        assert done.status == 1 and len(errors) == 1, done
        assert "Traceback" not in done.errors, done
        assert errors[0] == lines[-1], "the message comes last, where it is seen"
        return errors[0]
