"""Contestant: pythae's own VAE in pythae's own training pipeline.

pythae 0.1.2 (github.com/clementchadebec/benchmark_VAE), the VAE library people know.
Network, batch size, learning rate and Adam as the vanilla model's; two differences are
its own: the likelihood is computed from probabilities and the latent scale is
exp(s / 2). Its dataset, collation and callbacks are left as they are, but for
the progress bars, which the package `benchmarks` silences.
"""

import logging
import tempfile
from collections.abc import Callable

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from comvae.datasets.loading import Dataset
from comvae.study.run_config import RunConfig

for noisy in (BaseTrainer, TrainingPipeline):
    logging.getLogger(noisy.__module__).setLevel(logging.WARNING)


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


def train(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[], None],
) -> None:
    """Train one seed of the vanilla model."""

    class Clock(TrainingCallback):
        def on_epoch_end(self, training_config: BaseTrainerConfig, **_) -> None:
            on_epoch()

    training = config.training
    pixels = dataset.train.shape[1]
    sizes = (pixels, training.hidden, training.latent)
    model = VAE(
        VAEConfig((pixels,), training.latent, reconstruction_loss="bce"),
        encoder=Encoder(*sizes),
        decoder=Decoder(*sizes),
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=training.epochs,
            per_device_train_batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            no_cuda=device.type == "cpu",
        )
        TrainingPipeline(model=model, training_config=settings)(
            train_data=dataset.to_float(dataset.train), callbacks=[Clock()]
        )
