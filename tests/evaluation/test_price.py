"""The price of an encoder whose work is known."""

import numpy as np
import pytest
import torch
from torch import nn

from comvae.datasets.loading import Dataset
from comvae.engine.build import build
from comvae.evaluation.encoders import OptimalEncoder, PriorEncoder
from comvae.evaluation.price import Watch, price
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian
from comvae.study.settings import Evaluation
from tests.support import run_config

PIXELS, IMAGES = 36, 24
CPU = torch.device("cpu")


@pytest.fixture
def vae():
    return build(run_config(ModelOptions(title="t"), [0]), PIXELS, CPU)


@pytest.fixture
def dataset():
    images = np.random.default_rng(0).integers(0, 17, (IMAGES, PIXELS), np.uint8)
    x = torch.from_numpy(images)
    return Dataset("blobs", x, x, 16, 6, 6)


class Searching(PriorEncoder):
    """Five steps of each image's mean up log p(x given z), one latent each."""

    def __init__(self, vae) -> None:
        super().__init__(vae.latent)
        self.decoder = [vae.decoder]  # no module of this one

    def forward(self, x, mode):
        mean = x.new_zeros(*x.shape[:2], self.latent)
        for _ in range(5):
            with torch.enable_grad():
                mean = mean.detach().requires_grad_()
                nats = nn.functional.binary_cross_entropy_with_logits
                loss = nats(self.decoder[0](mean), x, reduction="sum")
            [slope] = torch.autograd.grad(loss, mean)
            mean = mean - 0.1 * slope
        return DiagonalGaussian(mean.detach(), torch.ones_like(mean)), x.new_zeros(1)


def measured(vae, dataset, options=None, batch_size=8):
    config = run_config(options or vae.options, [0])
    return price(vae, config, dataset, Evaluation(batch_size=batch_size), CPU)


def test_an_encoder_of_one_pass_runs_no_decoder(vae, dataset):
    weights = sum(tensor.nbytes for tensor in vae.state_dict().values())
    found = measured(vae, dataset)
    assert found["decoder_evaluations"] == 0
    assert found["encode_seconds"] > 0
    assert found["memory"] > weights / 1e6


def test_each_step_of_a_search_is_a_decoder_evaluation(vae, dataset):
    vae.encoder = Searching(vae)
    assert measured(vae, dataset)["decoder_evaluations"] == 5


def test_the_search_for_the_optimum_is_counted_each_time_it_runs(vae, dataset):
    """Its starts from the prior alone are 4,096 points that all images of a batch
    share; it keeps what it found, and is timed all the same."""
    vae.encoder = OptimalEncoder(vae)
    with torch.no_grad():
        found = measured(vae, dataset, batch_size=IMAGES)
    assert found["decoder_evaluations"] > 4096 / IMAGES
    assert len(vae.encoder._found) >= 2


def test_the_batch_is_what_memory_is_held_for(vae, dataset):
    one, all_of_them = (measured(vae, dataset, batch_size=n) for n in (2, IMAGES))
    assert all_of_them["memory"] > one["memory"]
    assert all_of_them["decoder_evaluations"] == one["decoder_evaluations"]


def test_what_is_gone_takes_no_memory(vae):
    with Watch(vae) as watch:
        for _ in range(3):
            tensor = torch.ones(1000)
            view = tensor[:10]
            del tensor, view
        kept = [torch.ones(300), torch.ones(900)]
    assert watch.most == sum(tensor.nbytes for tensor in kept) == 4800
    assert watch.decoded == 0
