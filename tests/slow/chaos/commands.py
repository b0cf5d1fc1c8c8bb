"""`comvae` in processes that a test may kill, and what they leave behind."""

import os
import select
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from tests.slow.forks import answered, ask

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
        "importance_draws": 400,
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

    def __init__(self, answers: socket.socket, printed: Path) -> None:
        self._answers, self._printed = answers, printed
        self.pid = answered(answers)

    def ended(self, within: float) -> bool:
        """Whether it has ended, after so many seconds at most."""
        return bool(select.select([self._answers], [], [], within)[0])

    def wait(self) -> Done:
        """How it ended; a command that hangs is killed and fails the test."""
        if not self.ended(PATIENCE):
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError(f"hung: {self._text('err')}")
        with self._answers:
            status = answered(self._answers)
        return Done(status, self._text("out"), self._text("err"))

    def _text(self, kind: str) -> str:
        return self._printed.with_suffix(f".{kind}").read_text()


@dataclass(frozen=True)
class Comvae:
    """Runs commands one after the other, by the `python` of a fork server."""

    python: Path

    def start(self, folder: Path, *arguments: object) -> Running:
        """Start a command in `folder`."""
        printed = self.python.with_name("printed")
        words = ["-m", "comvae", *map(str, arguments)]
        environment = {"COMVAE_MIRROR": "", "COLUMNS": "200"}
        with (
            open(os.devnull) as nothing,
            printed.with_suffix(".out").open("w") as out,
            printed.with_suffix(".err").open("w") as errors,
        ):
            files = [file.fileno() for file in (nothing, out, errors)]
            answers = ask(self.python, words, folder, files, **environment)
        return Running(answers, printed)

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
