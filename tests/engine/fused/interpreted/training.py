"""Training with the Triton kernels and low-rank maps, beside plain training (run by
test_interpreted)."""

import pytest
import torch

from comvae.engine.fused.layer import FusedForward
from comvae.engine.step import Engine
from comvae.model.layers import DynamicBayesianLinear
from tests.support import run_config

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "name",
    [
        "compound-gaussian-cumulative",
        "compound-mixture-no-batchnorm",
        "compound-mixture-rank-16",
    ],
)
def test_fused_steps_are_the_plain_steps(name, models, blobs, monkeypatch):
    def on_gpu(vae, device, training):
        layers = [m for m in vae.modules() if isinstance(m, DynamicBayesianLinear)]
        for layer in layers:
            layer.forward = FusedForward(layer, low_rank=True)
        gradients = [layer.forward.gradient for layer in layers]
        return [gradient for gradient in gradients if gradient is not None]

    monkeypatch.setattr("comvae.engine.step.fuse", on_gpu)
    sizes = {"hidden": 4, "latent": 2, "batch_size": 8}
    plain, fused = (
        Engine(run_config(models[name], [0], kernels=kernels, **sizes), blobs, CPU)
        for kernels in ("off", "auto")
    )
    start = fused.vae.encoder.hidden[0].maps.map.detach().clone()
    for engine in (plain, fused):
        engine.begin_epoch()
    for _ in range(plain.minibatches):
        for engine in (plain, fused):
            engine.take_steps()
        for term, means in plain.means().items():
            assert fused.means()[term] == pytest.approx(means, rel=1e-5)
        for (key, theirs), ours in zip(
            plain.vae.state_dict().items(), fused.vae.state_dict().values(), strict=True
        ):
            # the median: Adam moves a weight without gradient by the sign of rounding
            assert (ours - theirs).abs().median() < 1e-5, key
        fused.load_state(plain.state(), plain.epoch, plain.step)
    assert (fused.vae.encoder.hidden[0].maps.map - start).abs().mean() > 1e-3
