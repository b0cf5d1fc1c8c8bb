"""The cluster of these tests itself: what a killed test run leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.slow.slurm.cluster import DAEMONS, processes_below, stop_left_behind
from tests.support import ROOT

ABANDON = """
import os, signal, time
from tests.slow.slurm.cluster import Cluster
cluster = Cluster()
cluster.start()
cluster.run("sbatch", "--output=/dev/null", "--wrap", "srun sleep 1000")
while "RUNNING" not in cluster.run("squeue", "-h", "-o", "%T"):
    time.sleep(0.1)
print(cluster.root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def daemons_of(root: Path) -> list[psutil.Process]:
    """The daemons of a cluster."""
    pids = [int((root / f"{name}.pid").read_text()) for name in DAEMONS]
    return [psutil.Process(pid) for pid in pids]


def test_what_a_killed_run_left_behind_is_ended_and_nothing_else(cluster):
    done = subprocess.run(
        [sys.executable, "-c", ABANDON],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    abandoned = Path(done.stdout.strip())
    left, ours = daemons_of(abandoned), daemons_of(cluster.root)
    assert all(process.is_running() for process in left)
    assert len(processes_below(abandoned)) > len(DAEMONS), "a job runs as well"
    stop_left_behind()
    assert not any(process.is_running() for process in left)
    assert not processes_below(abandoned) and not abandoned.exists()
    assert all(process.is_running() for process in ours)
    assert cluster.run("sinfo", "-h", "-o", "%T").strip() == "idle"
