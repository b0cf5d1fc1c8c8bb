"""Pictures of what a trained block does, of every seed: arrays for the dashboard, and
two grids of them to look at anywhere else."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.evaluation.gap.measure import encode, image_indices
from comvae.files import replacing
from comvae.model.layers import Pass
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.vae import VAE
from comvae.study.settings import RunConfig

GRID = 16  # images in a row of a grid
PADDING = 2  # white pixels between them
SAMPLES = 128  # draws from the prior
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a traversal, in prior deviations
AROUND = 4  # images that latents are traversed around, beside the mean of the prior
PIXELS = ("reconstruction", "sample", "traversal")  # stored as uint8


@torch.no_grad()
def draw_pictures(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    folder: Path,
    images: int,
    seeds: list[int],
    device: torch.device | str = "cpu",
) -> None:
    """Write `seed-<s>.npz` and its grids `seed-<s>-{reconstructions,samples}.png` for
    each of `seeds`, which are some of the block's.

    `images` test images are reconstructed, those of `image_indices`: the gaps are
    measured on the same. No noise but the draws from the prior, which are the same for
    all models: weights at their means, and z at the mean of q(z given x). What the
    arrays are stands in results/README.md.
    """
    chosen = image_indices(len(dataset.test), images)
    around = [chosen[place] for place in _spread(len(chosen), AROUND)]
    x = dataset.to_float(dataset.test[chosen].to(device))
    tensors = _tensors(vae, config, x, [chosen.index(image) for image in around])
    size = dataset.height, dataset.width
    shared = {
        "image": np.array(chosen, np.int32),
        "original": _as_pixels(x, size),
        "traversal_image": np.array([-1, *around], np.int32),
        "traversal_step": np.array(STEPS, np.float32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(config.seeds):
        if seed in seeds:
            own = {name: tensor[index] for name, tensor in tensors.items()}
            _write_seed(folder / f"seed-{seed}", shared, own, size)


def _tensors(
    vae: VAE, config: RunConfig, x: Tensor, around: list[int]
) -> dict[str, Tensor]:
    """What differs between seeds, each (seeds, ...), for the images x, (images, pixels)
    in [0, 1]; `around` are places of images among them."""
    noise = Noise(config.seeds, "pictures", x.device)
    how = Pass(noise, sample_weights=False)
    mean, deviation = encode(vae, x, noise, 1, sample_weights=False)
    mean, deviation = mean[:, :, 0], deviation[:, :, 0]
    logits = vae.decoder(mean, how)
    steps = traversal(mean[:, around])
    traversed = vae.decoder(steps.flatten(1, 3), how)
    return {
        "reconstruction": logits.sigmoid(),
        "reconstruction_nats": reconstruction_loss(
            config.options.likelihood, logits, x
        ),
        "mean": mean,
        "deviation": deviation,
        "sample": vae.decoder(
            noise.normal("latents", SAMPLES, vae.latent), how
        ).sigmoid(),
        "traversal": traversed.sigmoid().unflatten(1, steps.shape[1:4]),
    }


def _write_seed(
    stem: Path,
    shared: dict[str, np.ndarray],
    own: dict[str, Tensor],
    size: tuple[int, int],
) -> None:
    """The archive and the grids of one seed, `stem` being their path without ending."""
    arrays = shared | {
        name: _as_pixels(tensor, size) if name in PIXELS else tensor.cpu().numpy()
        for name, tensor in own.items()
    }
    with replacing(stem.with_suffix(".npz")) as path:
        np.savez_compressed(path, **arrays)
    shown = _spread(len(arrays["image"]), GRID)
    pair = [arrays[name][shown] for name in ("original", "reconstruction")]
    _save_grid(np.concatenate(pair), stem.with_name(f"{stem.name}-reconstructions.png"))
    _save_grid(arrays["sample"], stem.with_name(f"{stem.name}-samples.png"))


def traversal(means: Tensor) -> Tensor:
    """Each latent set to each of STEPS, the others left where they are.

    Around 0 and around each of `means`, (seeds, images, latent): the result is (seeds,
    1 + images, latent, steps, latent).
    """
    seeds, _, latent = means.shape
    around = torch.cat([means.new_zeros(seeds, 1, latent), means], 1)
    steps = means.new_tensor(STEPS)
    z = around[:, :, None, None].repeat(1, 1, latent, len(steps), 1)
    for dimension in range(latent):
        z[:, :, dimension, :, dimension] = steps
    return z


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` places, the middle one of each stretch; all, if fewer."""
    if wanted >= count:
        return list(range(count))
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def _as_pixels(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Values in [0, 1], (..., pixels), as uint8 (..., height, width)."""
    return (values * 255).round().to(torch.uint8).unflatten(-1, size).cpu().numpy()


def _save_grid(images: np.ndarray, path: Path) -> None:
    """uint8 (images, height, width) as a PNG file, GRID in a row, on white."""
    enlarge = max(1, 56 // images.shape[2])
    tiles = images.repeat(enlarge, 1).repeat(enlarge, 2)
    columns = min(GRID, len(tiles))
    edges = (0, -len(tiles) % columns), (0, PADDING), (0, PADDING)
    tiles = np.pad(tiles, edges, constant_values=255)
    height, width = tiles.shape[1:]
    page = tiles.reshape(-1, columns, height, width).swapaxes(1, 2)
    page = page.reshape(-1, columns * width)
    page = np.pad(page, ((PADDING, 0), (PADDING, 0)), constant_values=255)
    Image.fromarray(page).save(path)
