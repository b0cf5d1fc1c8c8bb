"""Studies run side by side in one folder, where they make no block of each other."""

import subprocess
import sys

import pytest

from comvae.errors import ResultsError
from comvae.study.running import run_alone

OTHER = """
import sys
from pathlib import Path
from comvae.study.running import run_alone
run_alone(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
print("runs", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Starts another process that runs a study in this folder until the test ends."""
    started = []

    def start(*study):
        command = [sys.executable, "-c", OTHER, str(tmp_path), *study]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "runs\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_studies_that_share_no_block_run_at_once(tmp_path, other):
    other("first", "a/seeds-0", "a/seeds-1")
    other("second", "b/seeds-0")
    run_alone(tmp_path, "third", ["b/seeds-1"])


def test_a_study_runs_once_at_a_time(tmp_path, other):
    process = other("first")
    with pytest.raises(ResultsError, match="`first` running in this folder already"):
        run_alone(tmp_path, "first", [])
    process.kill()
    process.wait()
    run_alone(tmp_path, "first", [])


def test_no_two_studies_make_one_block(tmp_path, other):
    process = other("first", "a/seeds-0", "a/seeds-1")
    with pytest.raises(ResultsError, match=r"a/seeds-1: .*`first`.*`second`"):
        run_alone(tmp_path, "second", ["b/seeds-0", "a/seeds-1"])
    process.kill()
    process.wait()
    run_alone(tmp_path, "second", ["b/seeds-0", "a/seeds-1"])
