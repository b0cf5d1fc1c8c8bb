"""A study in a copy of the repository, run with the cluster's profile."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

from tests.slow.slurm.cluster import Cluster
from tests.slow.support import copy_repository, heed_interrupts, wait_for, write_study

COMMAND = ("snakemake", "--cores", "8", "--profile", "slurm")  # as in the README
PATIENCE = 420  # seconds until a study that does not end is an error


class Study:
    """A copy of the repository in `folder`, with a study file and its results."""

    def __init__(self, cluster: Cluster, name: str, settings: dict) -> None:
        self.cluster, self.folder = cluster, cluster.root / name
        copy_repository(self.folder)
        self.file = write_study(self.folder, settings)
        self.printed = self.folder / "printed.txt"
        self.process: subprocess.Popen | None = None

    def fill_in(self, change: Callable[[dict], None]) -> None:
        """Change the profile, as its users do."""
        path = self.folder / "slurm" / "config.yaml"
        profile = yaml.safe_load(path.read_text())
        change(profile)
        path.write_text(yaml.safe_dump(profile))

    def environment(self) -> dict[str, str]:
        """That of a login node, with this Python's commands."""
        environment = os.environ | self.cluster.environment
        binaries = Path(sys.executable).parent
        return environment | {"PATH": f"{binaries}:{environment['PATH']}"}

    def start(self, **environment: str) -> None:
        """Start the command of the README, with the test's study."""
        with self.printed.open("a") as printed:
            self.process = subprocess.Popen(
                [*COMMAND, "--configfile", self.file.name],
                cwd=self.folder,
                env=self.environment() | environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                preexec_fn=heed_interrupts,
            )

    def run_as_job(self) -> None:
        """Run the command of the README in a Slurm job of its own, to its end."""
        command = shlex.join([*COMMAND, "--configfile", self.file.name])
        options = ["--wait", "--mem=1000", f"--output={self.printed}"]
        subprocess.run(
            ["sbatch", *options, f"--wrap={command}"],
            cwd=self.folder,
            env=self.environment(),
            check=True,
            timeout=PATIENCE,
        )

    def wait(self) -> int:
        """The exit status of the command."""
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise TimeoutError(self.said()) from None

    def training_of(self, model: str, after: int | None = None) -> psutil.Process:
        """The process that trains a model, in mid-training; a later one than the
        process numbered `after`."""
        return wait_for(
            lambda: self._training_of(model, after),
            f"{model} does not train",
            self.said,
            PATIENCE,
        )

    def _training_of(self, model: str, after: int | None) -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = process.info["cmdline"] or []
            if (
                line[1:4] == ["-m", "comvae", "train"]
                and f"/{model}/" in line[4]
                and process.info["cwd"] == str(self.folder)
                and process.pid != after
                and re.search(r"epoch \d+/", self.log_of(model))
            ):
                return process
        return None

    def log_of(self, model: str) -> str:
        """The log of the last attempt to train a model."""
        [log] = self.folder.glob(f"logs/train/digits/{model}/*/seeds-0-1.log")
        return log.read_text()

    def jobs_of(self, model: str, rule: str = "train") -> list[dict[str, str]]:
        """What Slurm knows of the jobs of a block, old ones first."""
        found = self.cluster.jobs(f"rule_{rule}_wildcards_digits_{model}_")
        return [job for job in found if job["WorkDir"] == str(self.folder)]

    def said(self) -> str:
        """What Snakemake printed and what is in the queue."""
        return self.printed.read_text() + self.cluster.run("squeue", "--states=all")
