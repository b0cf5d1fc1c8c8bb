"""Metrics of a trained model on a whole split, beside the terms of its ELBO.

A metric is a function here and an entry of the same name in results/quantities.py, a
`metric`. It is given the VAE and q(z given x) of every image of the split,
for one draw of the weights; it gives a number for each seed, (seeds,).
"""

from torch import Tensor

from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.results.quantities import QUANTITIES


def metrics(vae: VAE, posterior: DiagonalGaussian) -> dict[str, Tensor]:
    """Every metric of the vocabulary, by name."""
    return {
        name: globals()[name](vae, posterior)
        for name, quantity in QUANTITIES.items()
        if quantity.metric
    }
