"""What k steps of SVI gain on an encoder, and what they cost (Kim et al. 2018)."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.certificate import search
from comvae.evaluation.gap.local import local_optimum, optimise
from comvae.evaluation.gap.measure import SPLITS, encode, image_indices
from comvae.evaluation.gap.target import DecoderTarget, Target
from comvae.model.noise import Noise
from comvae.model.options import SVI
from comvae.model.posterior import DiagonalGaussian
from comvae.model.svi import ascend
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Gap

STEPS = (0, 1, 2, 5, 10, 20, 50, 100)
"""After how many steps the curve has a point."""


class _LogLikelihood(torch.autograd.Function):
    """A target's log likelihood, with the gradient that it knows itself."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, target: Target) -> Tensor:
        value, gradient = target.gradient(z)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[Tensor, None]:
        return by_value.unsqueeze(3) * ctx.saved_tensors[0], None


def climb(
    target: Target, start: DiagonalGaussian, settings: SVI, noise: Noise
) -> Iterator[DiagonalGaussian]:
    """`ascend` for any target."""

    def log_likelihood(z: Tensor) -> Tensor:
        return _LogLikelihood.apply(z, target)

    return ascend(start, log_likelihood, settings, noise)


def climbed(
    target: Target, start: DiagonalGaussian, settings: SVI, noise: Noise
) -> DiagonalGaussian:
    """The last of them."""
    *_, last = climb(target, start, settings, noise)
    return last


@torch.no_grad()
def curve(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    settings: Gap,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """ELBO and amortization gap after k steps from the encoder of `vae`, for each k of
    STEPS up to `svi.steps`: means over the images that the gaps are measured on.

    Columns: seed, split, optimiser, steps, evaluations (of the decoder for each image,
    with gradients), elbo and amortization_gap, both in nats. `momentum` is that of the
    model, `quasi-newton` the search for q*, from the encoder's start alone. Weights are
    at their means.
    """
    rows = []
    for split in SPLITS:
        images = getattr(dataset, split)
        chosen = image_indices(len(images), settings.images)
        x = dataset.to_float(images[chosen].to(device))
        noise = Noise(config.seeds, f"svi {split}", device)
        target = DecoderTarget(vae.decoder, vae.options.likelihood, x)
        (start,) = encode(vae, x, noise, 1, sample_weights=False)
        for row in points(target, start, vae.options.svi, settings, noise):
            values = zip(config.seeds, row.pop("elbo"), row.pop("gap"), strict=True)
            rows += [
                dict(seed=seed, split=split, **row, elbo=elbo, amortization_gap=gap)
                for seed, elbo, gap in values
            ]
    key = ["seed", "split", "optimiser", "steps"]
    return pd.DataFrame(rows).sort_values(key, ignore_index=True)


def points(
    target: Target, start: DiagonalGaussian, svi: SVI, settings: Gap, noise: Noise
) -> Iterator[dict[str, Any]]:
    """The points of `curve`, with a list over seeds under `elbo` and `gap`."""
    searched = search(settings)

    def mean_bound(q: DiagonalGaussian) -> Tensor:
        # the same draws each time
        fresh = Noise(noise.seeds, noise.stage, noise.device)
        return bounds(target, [q], settings.final_draws, fresh, "elbo")[0].mean(1)

    optimum = local_optimum(target, start, **searched)
    optimal = mean_bound(optimum.of_start(optimum.best()))

    def point(
        optimiser: str, steps: int, evaluations: float, q: DiagonalGaussian
    ) -> dict[str, Any]:
        elbo = mean_bound(q)
        return {
            "optimiser": optimiser,
            "steps": steps,
            "evaluations": evaluations,
            "elbo": elbo.tolist(),
            "gap": (optimal - elbo).tolist(),
        }

    for steps, q in enumerate(climb(target, start, svi, noise)):
        if steps in STEPS:
            yield point("momentum", steps, steps * svi.draws, q)
        if 0 < steps in STEPS:
            found = optimise(target, [start], **searched | {"iterations": steps + 1})
            used = found.iterations.double().mean().item() * found.draws
            yield point("quasi-newton", steps, used, found.of_start(found.best()))
