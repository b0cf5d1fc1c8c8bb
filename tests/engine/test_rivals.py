"""Lockstep, checkpoints and steps by number, of models that train in other ways."""

import pytest
import torch

from comvae.engine.training import train
from comvae.errors import StoppedError
from tests.engine.steps import OnDevice, history_of, stopped_after
from tests.support import run_config

RIVALS = [
    "iwae-5",
    "denoising",
    "mc-dropout",
    "ia-vae",
    "compound-deterministic-rank-16",
    "flow",
]


@pytest.mark.parametrize("name", RIVALS)
def test_a_seed_is_the_same_alone_resumed_and_by_number(
    name, models, blobs, tmp_path, monkeypatch
):
    config = run_config(models[name], [3, 1])
    whole = train(config, blobs)
    alone = train(config.model_copy(update={"seeds": [3]}), blobs)
    with pytest.raises(StoppedError):
        train(config, blobs, state=tmp_path, stop=stopped_after(4))
    resumed = train(config, blobs, state=tmp_path)
    assert torch.equal(history_of(3, resumed), history_of(3, whole))
    for key, tensor in whole.vae.state_dict().items():
        assert torch.equal(resumed.vae.state_dict()[key], tensor), key
    monkeypatch.setattr("comvae.engine.training.Engine", OnDevice)
    for other in (alone, train(config, blobs)):
        torch.testing.assert_close(
            history_of(3, other), history_of(3, whole), rtol=1e-5, atol=1e-6
        )
    assert not torch.allclose(history_of(1, whole), history_of(3, whole))
