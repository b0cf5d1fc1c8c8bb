"""The vanilla model's encoder and decoder as pythae wants them."""

import torch
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """Images (batch, pixels) -> mean and log variance of z."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(pixels, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> ModelOutput:
        """The output that pythae's VAE expects of an encoder."""
        h = torch.relu(self.hidden(x))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    """z -> probabilities (batch, pixels)."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent, hidden)
        self.pixels = nn.Linear(hidden, pixels)

    def forward(self, z: Tensor) -> ModelOutput:
        """The output that pythae's VAE expects of a decoder."""
        h = torch.relu(self.hidden(z))
        return ModelOutput(reconstruction=torch.sigmoid(self.pixels(h)))
