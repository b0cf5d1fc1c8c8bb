"""The amortization gap of a VAE that knows nothing of this project.

    python examples/gap_of_a_vae.py

The VAE is written as pythae has it: an encoder that gives `embedding` and
`log_covariance`, a decoder that gives `reconstruction`, probabilities of the pixels.
"""

from types import SimpleNamespace

import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributions import Bernoulli

import comvae


class Encoder(nn.Module):
    """Images (batch, 64) -> mean and log variance of z."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> SimpleNamespace:
        mean, log_variance = self.out(self.hidden(x).relu()).chunk(2, 1)
        return SimpleNamespace(embedding=mean, log_covariance=log_variance)


class Decoder(nn.Module):
    """z (batch, 5) -> probabilities (batch, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(5, 32), nn.Linear(32, 64)

    def forward(self, z: Tensor) -> SimpleNamespace:
        return SimpleNamespace(reconstruction=self.out(self.hidden(z).relu()).sigmoid())


def train(encoder: Encoder, decoder: Decoder, x: Tensor, epochs: int) -> None:
    """Adam on the negative ELBO."""
    both = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(both, lr=0.002)
    for _ in range(epochs):
        for batch in x[torch.randperm(len(x))].split(64):
            q = encoder(batch)
            mean, log_variance = q.embedding, q.log_covariance
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            p = decoder(z).reconstruction
            nats = F.binary_cross_entropy(p, batch, reduction="sum")
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
            optimiser.zero_grad()
            ((nats + kl) / len(batch)).backward()
            optimiser.step()


def main() -> pd.DataFrame:
    """Train the VAE, and take log p(x) - ELBO of 50 test images apart."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such small tensors gain nothing from a second one
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    encoder, decoder = Encoder(), Decoder()
    train(encoder, decoder, x[:-50], epochs=20)

    def encode(images: Tensor) -> tuple[Tensor, Tensor]:
        q = encoder(images)
        return q.embedding, q.log_covariance

    def decode(z: Tensor) -> Bernoulli:  # grey pixels are no Bernoulli's: unchecked
        return Bernoulli(probs=decoder(z).reconstruction, validate_args=False)

    gaps = comvae.amortization_gap(decode, encode, x[-50:])
    print(gaps.describe().loc[["mean", "std"]].T)
    return gaps


if __name__ == "__main__":
    main()
