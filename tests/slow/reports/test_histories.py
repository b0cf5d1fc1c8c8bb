"""Whatever befalls a folder, a study that is run there again tells the truth.

Random histories of a small study: settings change, files are deleted or damaged, the
folder is copied, the study is killed, Snakemake forgets. After each run the tables are
those of a fresh folder, and no block that was finished and whole is trained again.
HISTORIES says how many.
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.slow.support import PATIENCE, TINY, processes, write_study
from tests.support import ROOT

HISTORIES = int(os.environ.get("HISTORIES", "2"))
STEPS = 6  # of a history; after each, the study is run
# a run that is the same: a seed that came later is in a block of its own
ALLOWED = ["train_seconds", "device", "git_commit", "block"]
TABLES = ["runs", "table1", "gaps", "attribution", "claims", "cells"]
NAMED = r"results/[\w./,-]+(?= is damaged| cannot be read)"
MODELS = ["vanilla", "simplified-mixture"]
EPOCHS = [{**TINY["training"], "epochs": number} for number in (1, 2)]
GAPS = [{"images": number, "ais": "off", "final_draws": 10} for number in (0, 2)]
CHANGES = st.one_of(
    st.fixed_dictionaries({name: st.sampled_from(values)})
    for name, values in {
        "models": [MODELS[:1], MODELS],
        "seeds": [1, 2, 3],
        "training": EPOCHS,
        "evaluation": [{"samples": 1}, {"samples": 2}],
        "gap": GAPS,
        "study": ["tiny", "other"],
    }.items()
)


class History(RuleBasedStateMachine):
    """One folder and one study after another in it."""

    python: Path
    fresh: ClassVar[dict[str, dict[str, pd.DataFrame]]] = {}  # by settings

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="history-")
        self.folder = Path(self.home.name, "0")
        self.folder.mkdir()
        self.settings = TINY | {"seeds": 2}
        self.more: list[str] = []  # of the command line
        self.damaged = False  # a file that no study has read since may still be

    def teardown(self) -> None:
        self.home.cleanup()

    @initialize()
    def begin(self) -> None:
        self.make()

    @rule(changes=CHANGES)
    def change_settings(self, changes: dict) -> None:
        self.settings = self.settings | changes
        self.make()

    @rule(changes=CHANGES, mtime=st.booleans())
    def change_settings_and_forget(self, changes: dict, mtime: bool) -> None:
        """As in a clone of the project that is given the results."""
        shutil.rmtree(self.folder / ".snakemake")
        self.more = ["--rerun-triggers", "mtime"] if mtime else []
        self.change_settings(changes)

    @rule(seed=st.integers(0, 2**32), whole=st.booleans())
    def delete(self, seed: int, whole: bool) -> None:
        """A file of the results, or the folder that it is in."""
        path = self.any_file(seed)
        shutil.rmtree(path.parent) if whole else path.unlink()
        self.make()

    @rule(seed=st.integers(0, 2**32), cut=st.booleans())
    def damage(self, seed: int, cut: bool) -> None:
        """Cut a file, or flip one of its bits, and heed what the study then says."""
        path = self.any_file(seed)
        content = bytearray(path.read_bytes())
        if cut or not content:
            content = content[: len(content) // 2]
        else:
            content[seed % len(content)] ^= 1
        path.unlink()  # it may be linked
        path.write_bytes(content)
        self.damaged = True
        self.make(repaired=True)

    @rule(dates=st.booleans(), forget=st.booleans(), seed=st.integers(0, 2**32))
    def copy(self, dates: bool, forget: bool, seed: int) -> None:
        """Go on in a copy; without dates, or with any, and with Snakemake's memory."""
        folder = self.folder.with_name(str(int(self.folder.name) + 1))
        shutil.copytree(self.folder, folder)
        if not dates:
            files = sorted(folder.rglob("results/**/*"))
            random.Random(seed).shuffle(files)
            for age, path in enumerate(files):
                os.utime(path, (1.7e9 + age, 1.7e9 + age))
        if forget:
            shutil.rmtree(folder / ".snakemake")
        shutil.rmtree(self.folder)
        self.folder = folder
        self.make()

    @rule(changes=CHANGES, after=st.floats(0.2, 6))
    def kill(self, changes: dict, after: float) -> None:
        """All processes of the study at some moment of its work."""
        self.settings = self.settings | changes
        done = subprocess.Popen(
            self.command(self.folder),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        with suppress(subprocess.TimeoutExpired):
            done.wait(after)
        for process in processes(lambda each: each.cwd() == str(self.folder)):
            with suppress(psutil.Error):
                process.kill()
        done.wait(PATIENCE)
        self.make()

    def any_file(self, seed: int) -> Path:
        """One of the files of the results; not of a dataset, which all share."""
        found = sorted(
            p for p in self.folder.glob("results/[rse]*/**/*") if p.is_file()
        )
        return found[seed % len(found)]

    def command(self, folder: Path) -> list[str]:
        study = write_study(folder, self.settings)
        command = [self.python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
        command += ["--configfile", study, "--cores", "2"]
        command += ["--workflow-profile", ROOT / "profiles" / "default"]
        return [*map(str, command), *self.more]

    def run(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(folder),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )

    def make(self, repaired: bool = False) -> None:
        """Run the study, and compare what it tells with a fresh folder's."""
        finished = self.finished()
        done = self.run(self.folder)
        for _ in range(4 if self.damaged else 0):  # one file may hide the next
            if done.returncode == 0:
                break
            named = set(re.findall(NAMED, done.stdout))
            assert named, done.stdout
            for name in named:
                (self.folder / name).unlink(missing_ok=True)
            repaired = True
            done = self.run(self.folder)
        assert done.returncode == 0, done.stdout
        self.more = []
        now, truth = self.tables(self.folder), self.truth()
        for name in TABLES:
            pd.testing.assert_frame_equal(now[name], truth[name], rtol=1e-4, obj=name)
        for weights, inode in finished.items():
            if not repaired and weights.exists():
                assert weights.stat().st_ino == inode, f"{weights} was trained again"

    def finished(self) -> dict[Path, int]:
        """The weights of blocks that are finished and whole."""
        found = self.folder.glob("results/runs/*/*/*/*/weights.safetensors")
        return {
            weights: weights.stat().st_ino
            for weights in found
            if {"run.json", "history.csv", "training.json"}
            <= {path.name for path in weights.parent.iterdir()}
        }

    def truth(self) -> dict[str, pd.DataFrame]:
        """The tables of these settings in a fresh folder."""
        key = repr(sorted(self.settings.items()))
        if key not in self.fresh:
            with tempfile.TemporaryDirectory() as folder:
                more, self.more = self.more, []
                done = self.run(Path(folder))
                assert done.returncode == 0, done.stdout
                self.more = more
                self.fresh[key] = self.tables(Path(folder))
        return self.fresh[key]

    def tables(self, folder: Path) -> dict[str, pd.DataFrame]:
        tables = folder / "results" / "studies" / self.settings["study"] / "tables"
        found = {name: pd.read_csv(tables / f"{name}.csv") for name in TABLES}
        return {n: t.drop(columns=ALLOWED, errors="ignore") for n, t in found.items()}


@pytest.mark.parametrize("part", range(2))
def test_whatever_happens_the_tables_tell_what_the_study_says(python: Path, part: int):
    History.python = python
    run_state_machine_as_test(
        type(f"History{part}", (History,), {}),
        settings=settings(
            max_examples=-(-HISTORIES // 2),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # to shrink a history would take hours
            suppress_health_check=list(HealthCheck),
        ),
    )
