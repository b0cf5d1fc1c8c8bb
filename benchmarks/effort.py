"""Whether log p(x) stays what it is with 20 times the effort.

`python -m benchmarks.effort` trains vanilla on MNIST with few and with many latents,
estimates log p(x) of test images as `comvae gap` does, and compares image by image.
"""

import dataclasses
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from benchmarks import images
from benchmarks.harness import say, write
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.evaluation.gap.annealing import PER_LATENT, SCHEDULES, anneal
from comvae.evaluation.gap.certificate import search
from comvae.evaluation.gap.estimate import estimate
from comvae.evaluation.gap.fit import fit
from comvae.evaluation.gap.local import local_optimum
from comvae.evaluation.gap.measure import encode, image_indices, measure_images
from comvae.evaluation.gap.target import DecoderTarget
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Gap, Training

TIMES = 20  # as many draws, chains or distributions
MOST = 0.2  # nats, that an image which is reported may differ by
SETTINGS = Gap()


def effort(
    latents: Annotated[
        str, typer.Option(help="Latent dimensions, separated by commas.")
    ] = "20,50",
    count: Annotated[int, typer.Option("--images", help="Test images.")] = 200,
    annealed: Annotated[
        int, typer.Option(help="Of these, how many are annealed from the prior too.")
    ] = 20,
    epochs: Annotated[int, typer.Option(help="Of training.")] = 15,
) -> None:
    """Compare log p(x), image by image, with what 20 times the effort gives.

    Writes results/benchmarks/<host>-effort.csv after each model, and one row an image
    beside it. Exit status 1: an image that is reported differs by more than 0.2 nats
    from 20 times the draws, or from 20 times the distributions from the prior by more
    than that and 4 of both standard errors.
    """
    torch.set_flush_denormal(True)
    data, rows, found = images.named("mnist"), [], []
    for latent in map(int, latents.split(",")):
        say(f"{latent} latents: training")
        vae = trained(data, latent, epochs)
        say(f"{latent} latents: {count} images")
        rows.append(compared(vae, data, count, annealed).assign(latent=latent))
        write("-effort-images", pd.concat(rows))
        found.append({"latent": latent} | summary(rows[-1]))
        print(pd.DataFrame(found).set_index("latent").round(3).T.to_string())
        print(write("-effort", pd.DataFrame(found)))
    off = sum(each["above"] + each["above_annealed"] for each in found)
    raise typer.Exit(int(off > 0))


def trained(data: Dataset, latent: int, epochs: int) -> VAE:
    """Vanilla of one seed, with 200 hidden units."""
    config = RunConfig(
        dataset="mnist",
        model="vanilla",
        seeds=[0],
        options=ModelOptions(title="Vanilla VAE"),
        training=Training(epochs=epochs, batch_size=100, hidden=200, latent=latent),
    )
    return train(config, data).vae


@torch.no_grad()
def compared(vae: VAE, data: Dataset, count: int, annealed: int) -> pd.DataFrame:
    """log p(x) of each image three times, with its errors, in nats: as it is reported
    (NaN where it is withheld), from TIMES the draws, and from annealing from the prior
    with TIMES the distributions; by noise of their own."""
    chosen = image_indices(len(data.test), count)
    x = data.to_float(data.test[chosen])
    default = measure_images(vae, x, SETTINGS, Noise([0], "effort"))

    noise = Noise([0], "more effort")
    target = DecoderTarget(vae.decoder, vae.options.likelihood, x)
    (encoded,) = encode(vae, x, noise, 1, sample_weights=False)
    optimum = local_optimum(target, encoded, **search(SETTINGS))
    modes = fit(target, *optimum.usable())
    say(f"{TIMES} times the draws")
    draws = TIMES * SETTINGS.importance_draws
    more = estimate(target, modes, draws, noise, TIMES).found
    say(f"{TIMES} times the distributions")
    fast = SCHEDULES["fast"]
    distributions = TIMES * max(fast.distributions, PER_LATENT * vae.latent)
    long = dataclasses.replace(fast, distributions=distributions)
    some, index = slice(0, annealed), torch.arange(annealed).unsqueeze(0)
    prior = anneal(target.select(index), modes.images(some), long, noise)

    columns = {name: default[name] for name in ("log_px", "log_px_error", "withheld")}
    columns |= {"more": more.log_px, "more_error": more.error}
    rest = torch.full((1, len(chosen) - annealed), torch.nan)
    columns["annealed"] = torch.cat([prior.log_px, rest], 1)
    columns["annealed_error"] = torch.cat([prior.error, rest], 1)
    found = {name: tensor[0].numpy() for name, tensor in columns.items()}
    return pd.DataFrame({"image": chosen} | found)


def summary(images: pd.DataFrame) -> dict[str, float]:
    """What became of the images of one model."""
    off = (images["log_px"] - images["more"]).abs()
    error = np.hypot(images["log_px_error"], images["more_error"])
    from_prior = (images["log_px"] - images["annealed"]).abs()
    allowed = 4 * np.hypot(images["log_px_error"], images["annealed_error"])
    return {
        "images": len(images),
        "withheld": images["withheld"].mean(),
        "difference_mean": (images["log_px"] - images["more"]).mean(),
        "difference_rms": float(np.sqrt((off**2).mean())),
        "difference_most": off.max(),
        "errors_most": (off / error).max(),  # in standard errors of both
        "above": int((off > MOST).sum()),
        "annealed": int(images["annealed"].notna().sum()),
        "difference_annealed_most": from_prior.max(),
        "above_annealed": int((from_prior > allowed.clip(lower=MOST)).sum()),
    }


if __name__ == "__main__":
    typer.run(effort)
