"""Fixtures of all tests: models, a small dataset, and one thread for PyTorch."""

import pytest
import torch

from comvae.datasets.loading import Dataset
from comvae.datasets.registry import STUDIED
from comvae.model.options import ModelOptions
from comvae.study.loading import load_models
from tests.support import ROOT


@pytest.fixture(autouse=True)
def fresh_process():
    """What training and studies set for a whole process is as in a new one; but for
    the threads: tests share two cores, and small tensors gain nothing from a second."""
    STUDIED.clear()
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def models() -> dict[str, ModelOptions]:
    return load_models(ROOT / "config" / "models.yaml")


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """64 + 20 small pictures of 3x4 pixels, each one of four patterns with noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 256, (4, 12), generator=generator)
    kinds = torch.randint(0, 4, (84,), generator=generator)
    noise = torch.randint(-20, 21, (84, 12), generator=generator)
    images = (patterns[kinds] + noise).clamp(0, 255).to(torch.uint8)
    return Dataset("blobs", images[:64], images[64:], pixel_max=255, height=3, width=4)
