"""What malloc keeps; how many seeds fit is tested with training (test_training.py)."""

import subprocess
import sys

import pytest

from tests.support import ROOT

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


STEPS = """
import os, sys
import torch
from comvae.datasets.loading import Dataset
from comvae.engine.memory import bytes_per_seed, keep_freed_memory
from comvae.engine.step import Engine
from comvae.study.loading import load_models
from tests.support import run_config

keep_freed_memory()
options, side = load_models("config/models.yaml")[sys.argv[1]], int(sys.argv[2])
images = torch.randint(0, 256, (96, side * side), dtype=torch.uint8)

def train(side, hidden, latent, seeds):
    sizes = {"hidden": hidden, "latent": latent, "batch_size": 32}
    config = run_config(options, list(range(seeds)), 1, **sizes)
    own = images[:, : side * side].contiguous()
    data = Dataset("x", own, own, 255, side, side)
    engine = Engine(config, data, torch.device("cpu"))
    engine.begin_epoch()
    while not engine.epoch_done:
        engine.take_steps()
    return bytes_per_seed(config, side * side) * seeds

def memory(kind):
    lines = open("/proc/self/status").read().splitlines()
    (line,) = (line for line in lines if line.startswith(kind))
    return 1024 * int(line.split()[1])

train(4, 4, 2, 1)  # what libraries take for themselves
open("/proc/self/clear_refs", "w").write("5")  # forgets the peak
before = memory("VmRSS")
promised = train(side, 100, 5, int(sys.argv[3]))
print((memory("VmHWM") - before) / promised)
"""


@pytest.mark.parametrize(
    ("model", "side", "seeds"),
    [
        ("vanilla", 28, 5),
        ("simplified-mixture", 28, 5),
        ("compound-mixture", 14, 1),
        ("compound-mixture-no-batchnorm", 14, 1),
        ("compound-mixture-rank-16", 14, 1),
        ("iwae-50", 28, 2),
        ("ia-vae", 28, 2),
    ],
)
def test_a_step_takes_no_more_than_is_promised(model, side, seeds):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, model, str(side), str(seeds)],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert float(done.stdout) < 1.2
