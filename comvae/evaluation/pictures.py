"""Pictures of what a trained model does, of every seed: reconstructions, samples,
traversals of the latents."""

import numpy as np
import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.evaluation.gap.measure import encode, image_indices
from comvae.model.noise import Noise
from comvae.model.objective import reconstruction_loss
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig

SAMPLES = 128  # draws from the prior
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a traversal, in prior deviations
AROUND = 4  # images that latents are traversed around, beside the mean of the prior
PIXELS = ("reconstruction", "sample", "traversal")  # stored as uint8


@torch.no_grad()
def draw_pictures(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    images: int,
    seeds: list[int],
    device: torch.device | str = "cpu",
) -> dict[int, dict[str, np.ndarray]]:
    """The arrays of `results.pictures` of each of `seeds`, some of those of `config`.

    `images` test images are reconstructed, those of `image_indices`: the gaps are
    measured on the same. No noise but the draws from the prior, which are the same for
    all models: weights at their means, and z at the mean of q(z given x).
    results/README.md says what the arrays are.
    """
    chosen = image_indices(len(dataset.test), images)
    wanted = min(AROUND, len(chosen))
    places = [(2 * i + 1) * len(chosen) // (2 * wanted) for i in range(wanted)]
    around = [chosen[place] for place in places]
    x = dataset.to_float(dataset.test[chosen].to(device))
    tensors = _tensors(vae, config, x, places)
    size = dataset.height, dataset.width
    shared = {
        "image": np.array(chosen, np.int32),
        "original": _as_pixels(x, size),
        "traversal_image": np.array([-1, *around], np.int32),
        "traversal_step": np.array(STEPS, np.float32),
    }
    drawn = {}
    for index, seed in enumerate(config.seeds):
        if seed in seeds:
            own = {name: tensor[index] for name, tensor in tensors.items()}
            drawn[seed] = shared | {
                name: _as_pixels(own[name], size)
                if name in PIXELS
                else own[name].cpu().numpy()
                for name in own
            }
    return drawn


def _tensors(
    vae: VAE, config: RunConfig, x: Tensor, around: list[int]
) -> dict[str, Tensor]:
    """What differs between seeds, each (seeds, ...), for the images x, (images, pixels)
    in [0, 1]; `around` are places of images among them."""
    noise = Noise(config.seeds, "pictures", x.device)
    (q,) = encode(vae, x, noise, 1, sample_weights=False)
    logits = vae.decoder(q.mean)
    steps = traversal(q.mean[:, around])
    traversed = vae.decoder(steps.flatten(1, 3))
    sampled = vae.decoder(noise.normal("latents", SAMPLES, vae.latent))
    return {
        "reconstruction": logits.sigmoid(),
        "reconstruction_nats": reconstruction_loss(
            config.options.likelihood, logits, x
        ),
        "mean": q.mean,
        "deviation": q.scale,
        "sample": sampled.sigmoid(),
        "traversal": traversed.sigmoid().unflatten(1, steps.shape[1:4]),
    }


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


def _as_pixels(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Values in [0, 1], (..., pixels), as uint8 (..., height, width)."""
    return (values * 255).round().to(torch.uint8).unflatten(-1, size).cpu().numpy()
