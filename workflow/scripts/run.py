"""Run snakemake with the given arguments, over the lock of a run that was killed.

A killed snakemake leaves its lock behind, and the next one refuses to start. Whether
the lock's owner still lives is known from a lock of the operating system, which ends
with the process that holds it.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Become snakemake, holding the lock for as long as it lives."""
    held = Path(".snakemake", "running")
    held.parent.mkdir(exist_ok=True)
    handle = os.open(held, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(
            f"{held} is held: a study is running in this folder already; wait for it, "
            "or end it first"
        )
    snakemake = [sys.executable, "-m", "snakemake"]
    if any(Path(".snakemake", "locks").glob("*")):
        unlocked = subprocess.run([*snakemake, "--unlock", *sys.argv[1:]])
        if unlocked.returncode:
            sys.exit(unlocked.returncode)
    os.set_inheritable(handle, True)
    os.execv(snakemake[0], [*snakemake, *sys.argv[1:]])


main()
