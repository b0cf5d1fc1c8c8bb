"""Contestant: pythae's own VAE in pythae's own training pipeline.

pythae 0.1.2 (github.com/clementchadebec/benchmark_VAE), the VAE library people know.
Network, batch size, learning rate and Adam as the vanilla model's; two differences are
its own: the likelihood is computed from probabilities and the latent scale is
exp(s / 2). Its dataset, collation and callbacks are left as they are, but for
the progress bars, which the package `benchmarks` silences.
"""

import logging
import tempfile
from importlib.util import find_spec

import torch

from benchmarks.clock import Marks
from comvae.datasets.loading import Dataset
from comvae.study.settings import RunConfig


def installed() -> bool:
    """Whether pythae is here: `make bench` installs it."""
    return find_spec("pythae") is not None


def epoch_seconds(config: RunConfig, dataset: Dataset, device: torch.device) -> float:
    """Seconds of an epoch of one seed, without the first epoch."""
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    from benchmarks.pythae_nets import Decoder, Encoder

    logging.getLogger(BaseTrainer.__module__).setLevel(logging.WARNING)
    logging.getLogger(TrainingPipeline.__module__).setLevel(logging.WARNING)
    marks = Marks(device)

    class Clock(TrainingCallback):
        def on_epoch_end(self, training_config: BaseTrainerConfig, **_) -> None:
            marks()

    training = config.training
    pixels = dataset.train.shape[1]
    model = VAE(
        VAEConfig(
            input_dim=(pixels,),
            latent_dim=training.latent,
            reconstruction_loss="bce",
        ),
        encoder=Encoder(pixels, training.hidden, training.latent),
        decoder=Decoder(pixels, training.hidden, training.latent),
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=training.epochs,
            per_device_train_batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            no_cuda=device.type == "cpu",
        )
        images = dataset.to_float(dataset.train)
        TrainingPipeline(model=model, training_config=settings)(
            train_data=images, callbacks=[Clock()]
        )
    return marks.epoch_seconds(training.epochs)
