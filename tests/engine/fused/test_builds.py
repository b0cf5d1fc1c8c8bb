"""The builds of the C kernels for narrower vectors than this processor has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from comvae.engine.fused import native

FOLDER = Path(__file__).parent
WIDTHS = ["DEFAULT", "AVX2", "AVX512"]  # as PyTorch calls what it uses
WIDEST = torch.backends.cpu.get_cpu_capability()
OTHERS = WIDTHS[: WIDTHS.index(WIDEST)] if WIDEST in WIDTHS else []


def test_the_widest_that_this_processor_has_is_used():
    name = native.BUILDS.get(WIDEST, native.BUILDS[""])
    assert Path(native.library()._name).name.startswith(f"{name}.")


@pytest.mark.parametrize("width", OTHERS or ["DEFAULT"])
def test_the_others_compute_the_same(width):
    """PyTorch, told to use narrower vectors, takes ours with it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    chosen = ["-k", "as_good_as and 45 or no_bit_depends"]
    found = subprocess.run(
        [*command, *chosen, FOLDER / "test_plain.py", FOLDER / "test_native.py"],
        env=os.environ | {"ATEN_CPU_CAPABILITY": width.lower()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout
