"""Contestant: the plain loop around a model of `comvae.model`, for one seed."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from comvae.datasets.loading import Dataset
from comvae.engine.build import build
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import complexity_weights, minibatch_loss
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig


def train(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[Tensor], None] = lambda terms: None,
) -> VAE:
    """Train the one seed of the config, without kernels or lockstep; returns the model.

    `on_epoch` gets the means over the minibatches of reconstruction, latent KL and
    weight KL, (3,), in nats. A batch sampler gathers each minibatch with one index:
    a DataLoader that collates images one by one is slower.
    """
    torch.manual_seed(config.seeds[0])
    training = config.training
    images = dataset.train.to(device, torch.float32) / dataset.pixel_max
    order = BatchSampler(RandomSampler(images), training.batch_size, drop_last=False)
    loader = DataLoader(TensorDataset(images), sampler=order, batch_size=None)
    weights = complexity_weights(config.options.complexity_weights, len(loader))
    vae = build(config, images.shape[1], device)
    mode = training_mode(config, device)
    adam = torch.optim.Adam(vae.parameters(), lr=training.learning_rate, fused=True)
    for _ in range(training.epochs):
        total = torch.zeros(3, device=device)
        for (x,), weight in zip(loader, weights.tolist(), strict=True):
            terms = vae(x.unsqueeze(0), mode)
            loss = minibatch_loss(terms, weight, config.options).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            seen = (terms.reconstruction, terms.latent_kl, terms.weight_kl)
            total += torch.stack([term.mean() for term in seen]).detach()
        on_epoch(total / len(loader))
    return vae


def training_mode(config: RunConfig, device: torch.device) -> Mode:
    """Random weights, and batch norm with the statistics of the minibatch."""
    noise = Noise(config.seeds, "training", device)
    return Mode(noise, batch_statistics=True, update_statistics=True)
