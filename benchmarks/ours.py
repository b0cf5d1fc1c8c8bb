"""Contestant: this repository's lockstep training."""

import torch

from benchmarks.clock import Marks
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.study.settings import RunConfig


def epoch_seconds(config: RunConfig, dataset: Dataset, device: torch.device) -> float:
    """Seconds of an epoch of all seeds of the block, without the first epoch."""
    marks = Marks(device)
    train(config, dataset, device, marks)
    return marks.epoch_seconds(config.training.epochs)
