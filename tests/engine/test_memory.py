"""What malloc keeps; how many seeds fit is tested with training (test_training.py)."""

import subprocess
import sys

ROUNDS = """
import resource, torch
from comvae.engine.memory import keep_freed_memory
keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def one_round():
    return [torch.ones(2**21) for _ in range(8)]  # 8 MiB each
for _ in range(3):
    one_round()
before = faults()
for _ in range(5):
    one_round()
print((faults() - before) // 5)
"""


def test_what_a_step_frees_is_there_for_the_next():
    """Without the call some ten thousand faults a round, where pages have 4 KiB."""
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 100
