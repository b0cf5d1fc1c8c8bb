"""Trained models of a study, opened from its files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Normal

from comvae.api.amortization import as_table, gap_settings
from comvae.datasets.store import read_record
from comvae.engine.build import build
from comvae.errors import ResultsError, did_you_mean
from comvae.evaluation.encoders import with_evaluated_encoder
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.measure import encode, measure_images
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.noise import Noise
from comvae.model.vae import VAE
from comvae.results import paths
from comvae.results.blocks import sound_seeds
from comvae.results.weights import held_seeds, load_vae
from comvae.study.plan import Plan
from comvae.study.run_config import RunConfig, load_run_config

Images = Tensor | np.ndarray
WEIGHT_DRAWS = 50  # of each image in the ELBO of a model with random weights


class TrainedModel:
    """A trained VAE of a study, of one seed or of several.

    Images are (images, height, width) or (images, pixels), in [0, 1]. With one seed
    nothing has an axis of seeds; with several each tensor that comes out starts with
    it, and so may latents that go in.

    `dataset`, `model` and `seeds` say which one it is, `shape` is (height, width) of an
    image, `config` has every setting, and `vae` is the PyTorch module itself.
    """

    def __init__(
        self, vae: VAE, config: RunConfig, shape: tuple[int, int], one: bool
    ) -> None:
        self.vae, self.config, self.shape, self._one = vae.eval(), config, shape, one
        self.dataset, self.model, self.seeds = (
            config.dataset,
            config.model,
            config.seeds,
        )

    def __repr__(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"<{self.model} on {self.dataset}, seed {seeds}>"

    @torch.no_grad()
    def encode(self, x: Images, draw_weights: bool = False) -> Normal:
        """q(z given x), (images, latent): with the encoder's weights at their means, or
        drawn anew where they are random, with PyTorch's generator."""
        noise = self._noise(f"encode {torch.randint(2**31, ()).item()}")
        (q,) = encode(self.vae, self._pixels(x), noise, 1, sample_weights=draw_weights)
        return Normal(self._out(q.mean), self._out(q.scale))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Latents (count, latent) -> images in [0, 1], (count, height, width)."""
        latents = z.to(self._device, torch.float32)
        if latents.shape[-1] != self.vae.latent:
            raise ValueError(
                f"z: found {latents.shape[-1]} latents, expected {self.vae.latent}"
            )
        if latents.dim() == 2:
            latents = latents.expand(len(self.seeds), *latents.shape)
        pixels = self.vae.decoder(latents).sigmoid()
        return self._out(pixels.unflatten(2, self.shape))

    def sample(self, count: int = 1) -> Tensor:
        """Images of draws of z from the prior, (count, height, width); all seeds decode
        the same. The draws are from PyTorch's generator: see `torch.manual_seed`."""
        return self.decode(torch.randn(count, self.vae.latent))

    @torch.no_grad()
    def elbo(self, x: Images, draws: int = 1000) -> Tensor:
        """The evidence lower bound of each image in nats, (images,), a mean over draws
        of weights and latents. The same call gives the same numbers."""
        pixels, noise = self._pixels(x), self._noise("elbo")
        target = DecoderTarget(self.vae.decoder, self.vae.options.likelihood, pixels)
        random = self.vae.options.random_encoder
        weights = min(WEIGHT_DRAWS, draws) if random else 1
        drawn = encode(self.vae, pixels, noise, weights, sample_weights=random)
        return self._out(bounds(target, drawn, draws, noise, "elbo")[0])

    def gap(self, x: Images, **settings: Any) -> pd.DataFrame:
        """log p(x) - ELBO of each image taken apart, in nats: one row per seed and
        image, with the columns of gaps.parquet and the gaps (docs/quantities.md).

        `settings` are those of `gap` in docs/settings.md; annealing is off unless `ais`
        asks for it. The same call gives the same numbers.
        """
        chosen = gap_settings(settings)
        columns = measure_images(self.vae, self._pixels(x), chosen, self._noise("gap"))
        tables = []
        for index, seed in enumerate(self.seeds):
            table = as_table(columns, index)
            table.insert(0, "seed", seed)
            table.insert(1, "image", range(len(table)))
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    @property
    def _device(self) -> torch.device:
        return next(self.vae.parameters()).device

    def _noise(self, purpose: str) -> Noise:
        return Noise(self.seeds, f"api {purpose}", self._device)

    def _out(self, tensor: Tensor) -> Tensor:
        return tensor[0] if self._one else tensor

    def _pixels(self, x: Images) -> Tensor:
        """Images as float32 (images, pixels) on the model's device."""
        images = torch.as_tensor(x).to(self._device, torch.float32)
        height, width = self.shape
        if images.shape[1:] not in (self.shape, (height * width,)):
            raise ValueError(
                f"x: found the shape {tuple(images.shape)}, expected (images, "
                f"{height}, {width}) or (images, {height * width})"
            )
        if not (len(images) and images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "x: found no images, or pixels outside of [0, 1], expected floats in "
                "it: divide by the value of a white pixel"
            )
        return images.flatten(1)


def load(
    folder: str | Path,
    model: str | None = None,
    *,
    dataset: str | None = None,
    seed: int | Literal["all"] | None = None,
    device: torch.device | str = "cpu",
) -> TrainedModel:
    """A trained model from a folder of results: `results`, of the study that was
    planned last, `results/published/<study>`, or the folder of one block below
    `results/runs`.

    Where no model or dataset is named it is the first of the study with weights there;
    without a seed the first one of those; `all`: every seed that did not fail.

    Raises ResultsError where the weights are missing, damaged or of another config.
    """
    folder = Path(folder)
    results, runs = _runs(folder, model, dataset)
    there = [run for run in runs if _seeds_there(run, seed)]
    if not there:
        raise ResultsError(_nothing_found(folder, runs, seed))
    config = load_run_config(there[0] / paths.CONFIG)
    record = read_record(paths.dataset_record(results, config.dataset).parent)
    facts = record.pooled(record.name, config.data.pool)
    shape = facts.height, facts.width
    vaes, seeds = [], []
    for run in there if seed == "all" else there[:1]:
        own, found = load_run_config(run / paths.CONFIG), _seeds_there(run, seed)
        if seed == "all" and own.config_hash != config.config_hash:
            break  # the blocks of the next model
        wanted = found if seed == "all" else found[:1]
        vaes.append(
            load_vae(run, own, shape[0] * shape[1], torch.device(device), wanted)
        )
        seeds += wanted
    whole = config.model_copy(update={"seeds": seeds})
    vae = build(whole, shape[0] * shape[1], device)
    states = [each.state_dict() for each in vaes]
    vae.load_state_dict({n: torch.cat([s[n] for s in states]) for n in states[0]})
    return TrainedModel(with_evaluated_encoder(vae), whole, shape, seed != "all")


def _runs(
    folder: Path, model: str | None, dataset: str | None
) -> tuple[Path, list[Path]]:
    """The folder of results, and those of the blocks to choose from, in the plan's
    order."""
    if (folder / paths.CONFIG).is_file():
        results = folder.resolve().parents[4]
        paths.place_of(results, folder.resolve())
        return results, [folder]
    plan = Plan.read(folder)
    _refuse_unknown(folder, "model", model, plan.models)
    _refuse_unknown(folder, "dataset", dataset, plan.datasets)
    return folder, [
        paths.run_folder(folder, block.folder)
        for block in plan.blocks
        if model in (None, block.model) and dataset in (None, block.dataset)
    ]


def _refuse_unknown(
    folder: Path, what: str, name: str | None, known: Iterable[str]
) -> None:
    if name is not None and name not in known:
        raise ResultsError(
            f"{folder}: found no {what} `{name}` in the study."
            f"{did_you_mean(name, known)} It has: {', '.join(known)}"
        )


def _seeds_there(run: Path, seed: int | str | None) -> list[int]:
    """The seeds of a block that did not fail and have weights, as far as wanted."""
    if not (run / paths.TRAINING).is_file():
        return []
    config = load_run_config(run / paths.CONFIG)
    sound = set(sound_seeds(run, config)).intersection(held_seeds(run, config))
    return [
        each for each in config.seeds if each in sound and seed in (None, "all", each)
    ]


def _nothing_found(folder: Path, runs: list[Path], seed: int | str | None) -> str:
    what = (
        "no trained weights" if seed in (None, "all") else f"no weights of seed {seed}"
    )
    place = runs[0] if len(runs) == 1 else folder
    return (
        f"{place}: found {what}; those of a published study are there for the first "
        "seed, or not where they are large: `make study` trains them again, and then "
        "they lie in `results`"
    )
