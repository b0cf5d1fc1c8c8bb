"""The gaps of the images of one block: every quantity, in one table."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.evaluation.gap.annealing import SCHEDULES, anneal
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.certificate import certificate, search
from comvae.evaluation.gap.estimate import estimate, reconsider
from comvae.evaluation.gap.fit import fit
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.own import own_optimum
from comvae.evaluation.gap.target import DecoderTarget, Target
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Gap

SPLITS = ("train", "test")
ENCODED = 250  # images per pass of the encoder
CERTIFICATE = ("simulated_lower", "simulated_upper")
STAGES = ("encode", "find q*", "bounds", "importance sampling", "annealing")


def image_indices(count: int, wanted: int) -> list[int]:
    """Which of a split's `count` images are measured: `wanted` of them, evenly spread;
    all, where there are fewer. The same for every model and seed of a dataset."""
    if wanted >= count:
        return list(range(count))
    return [i * count // wanted for i in range(wanted)]


@torch.no_grad()
def measure(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    settings: Gap,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> pd.DataFrame:
    """What the gaps are made of, one row per (seed, split, image), in nats.

    Columns: seed, split, image (its number in the split); elbo, elbo_mean_weights,
    elbo_marginal: L[q] with sampled weights, with weights at their means, and of the
    mixture over weight draws; elbo_optimal: L[q*]; elbo_optimal_own, the same over the
    posteriors of the encoder where these are no Gaussians; log_px_is, log_px_ais (NaN
    where annealing from the prior did not run) and log_px, the estimate, NaN with
    `withheld` 1 where it cannot be trusted; its log_px_error, ess and draws;
    iterations, converged and start (`encoder`, `prior`) of the search for q*, and
    start_difference, how far apart its two starts ended; simulated_lower and
    simulated_upper, the bounds of a seed's `certificate`, the same in each row.

    Batch norm uses its running statistics. `on_progress` is told of every stage, of
    both splits, that is done. Everything of a seed whose weights are NaN is NaN.
    """
    tables, total = [], len(SPLITS) * len(STAGES)
    for number, split in enumerate(SPLITS):
        images = getattr(dataset, split)
        chosen = image_indices(len(images), settings.images)

        def stage(done: int, split: str = split, before: int = number) -> None:
            text = f"{split}: {STAGES[done - 1]}"
            on_progress(before * len(STAGES) + done, total, text)

        x = dataset.to_float(images[chosen].to(device))
        noise = Noise(config.seeds, f"gap {split}", device)
        columns = measure_images(vae, x, settings, noise, stage)
        tables.append(_table(config.seeds, split, chosen, columns))
    if settings.certificate_images:
        noise = Noise(config.seeds, "certificate", device)
        bounds_of = certificate(vae, config.options.likelihood, settings, noise)
        for name, values in zip(CERTIFICATE, bounds_of, strict=True):
            of_seed = dict(zip(config.seeds, values.tolist(), strict=True))
            for table in tables:
                table[name] = table["seed"].map(of_seed)
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(["seed", "split", "image"], ignore_index=True)


@torch.no_grad()
def measure_images(
    vae: VAE,
    x: Tensor,
    settings: Gap,
    noise: Noise,
    stage: Callable[[int], None] = lambda done: None,
) -> dict[str, Tensor]:
    """The columns of `measure`, (seeds, images) each, for images x, (images, pixels) in
    [0, 1]; `stage` is told of each of STAGES that is done."""
    target = DecoderTarget(vae.decoder, vae.options.likelihood, x)
    at_mean_weights = encode(vae, x, noise, 1, sample_weights=False)
    sampled = at_mean_weights
    if vae.options.random_encoder:
        sampled = encode(vae, x, noise, settings.marginal_draws, sample_weights=True)
    stage(1)
    columns = decompose(target, at_mean_weights, sampled, settings, noise, stage)
    if vae.options.posterior != "gaussian":
        mode = Mode(noise, sample_weights=False, weight_kl=False)
        outputs, _ = vae.encoder.outputs(x.expand(len(noise.seeds), *x.shape), mode)
        family = vae.encoder.posterior
        q = family(own_optimum(target, family, outputs, **search(settings)))
        own, _ = bounds(target, [q], settings.final_draws, noise, "elbo-optimal-own")
        columns["elbo_optimal_own"] = own
    return columns


@torch.no_grad()
def decompose(
    target: Target,
    at_mean_weights: list[DiagonalGaussian],
    sampled: list[DiagonalGaussian],
    settings: Gap,
    noise: Noise,
    stage: Callable[[int], None] = lambda done: None,
) -> dict[str, Tensor]:
    """The same for any target, and what its encoder gave for each draw of its weights:
    one list where these are not random."""
    optimum = local_optimum(target, at_mean_weights[0], **search(settings))
    best = optimum.best()
    q = optimum.of_start(best)
    stage(2)

    draws = settings.final_draws
    elbo, marginal = bounds(target, sampled, draws, noise, "elbo")
    at_mean = elbo
    if sampled is not at_mean_weights:
        at_mean, _ = bounds(target, at_mean_weights, draws, noise, "elbo-mean-weights")
    optimal, _ = bounds(target, [q], draws, noise, "elbo-optimal")
    stage(3)

    modes = fit(target, *optimum.usable())
    estimated = estimate(target, modes, settings.importance_draws, noise)
    found, trusted = estimated.found, estimated.trusted()
    stage(4)

    log_px_ais = torch.full_like(elbo, torch.nan)
    if settings.ais != "off":
        some = slice(0, settings.ais_images)
        index = torch.arange(elbo.shape[1], device=elbo.device)[some]
        index = index.expand(len(elbo), -1)
        own, given = target.select(index), estimated.images(some)
        annealed = anneal(own, modes.images(some), SCHEDULES[settings.ais], noise)
        log_px_ais[:, some] = annealed.log_px
        again = reconsider(own, given, annealed, settings.importance_draws, noise)
        found.put(index, torch.ones_like(trusted[:, some]), again.found)
        trusted[:, some] = again.trusted() & again.agrees(annealed)
    stage(5)

    def of_best(tensor: Tensor) -> Tensor:
        return tensor.gather(0, best.unsqueeze(0))[0]

    first, second = optimum.objective
    return {
        "elbo": elbo,
        "elbo_mean_weights": at_mean,
        "elbo_marginal": marginal,
        "elbo_optimal": optimal,
        "log_px": found.log_px.where(trusted, torch.nan),
        "log_px_is": estimated.sampled.log_px,
        "log_px_ais": log_px_ais,
        "withheld": (~trusted).double(),
        "log_px_error": found.error,
        "ess": found.effective,
        "draws": found.draws,
        "iterations": of_best(optimum.iterations),
        "converged": of_best(optimum.converged),
        "start": best,
        "start_difference": (first - second).abs(),
    }


def encode(
    vae: VAE, x: Tensor, noise: Noise, weight_draws: int, sample_weights: bool
) -> list[DiagonalGaussian]:
    """q(z given x, w) of images x, (images, pixels), for each draw of the weights."""
    mode = Mode(noise, sample_weights=sample_weights, weight_kl=False)
    seeds = len(noise.seeds)
    batches = []
    for batch in x.split(ENCODED):
        images = batch.expand(seeds, *batch.shape)
        drawn = vae.encoder.posteriors(images, mode, weight_draws)
        batches.append([posterior for posterior, _ in drawn])
    return [type(parts[0]).joined(parts) for parts in zip(*batches, strict=True)]


def _table(
    seeds: list[int], split: str, images: list[int], columns: dict[str, Tensor]
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "seed": np.repeat(seeds, len(images)),
            "split": split,
            "image": np.tile(images, len(seeds)),
        }
        | {name: tensor.flatten().cpu().numpy() for name, tensor in columns.items()}
    )
    table["start"] = table["start"].map({0: "encoder", 1: "prior"})
    return table
