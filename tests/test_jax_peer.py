"""The peer in JAX computes what the models of `comvae.model` compute."""

import jax
import jax.numpy as jnp
import pytest
import torch

from benchmarks import jax_peer
from comvae.engine.build import build
from comvae.model.mode import Mode
from comvae.model.objective import minibatch_loss
from tests.support import run_config

BATCH, STEPS = 16, 20


class Given:
    """Noise that was drawn before, in the order of its use."""

    def __init__(self, draws: list[torch.Tensor]) -> None:
        self.draws = list(draws)

    def normal(self, purpose: str, *shape: int) -> torch.Tensor:
        draw = self.draws.pop(0)
        assert draw.shape[1:] == shape
        return draw


@pytest.mark.parametrize("with_kl", [True, False])
@pytest.mark.parametrize("model", jax_peer.MODELS)
def test_twenty_steps_have_equal_losses(models, blobs, model, with_kl):
    """From equal weights, with equal noise; in float64, where Adam turns no rounding
    into a step."""
    with jax.enable_x64():
        take_steps(models, blobs, model, with_kl)


def take_steps(models, blobs, model, with_kl):
    config = run_config(models[model], [0, 1]).model_copy(update={"model": model})
    pixels = blobs.train.shape[1]
    peer = jax_peer.Peer(config, pixels)
    step = jax.jit(jax.vmap(peer.step, (0, None, 0, None, None)), static_argnums=4)
    state = jax.tree.map(
        lambda t: t.astype(float) if t.dtype == jnp.float32 else t, peer.start
    )
    vae = build(config, pixels).double()
    adam = torch.optim.Adam(vae.parameters(), lr=config.training.learning_rate)
    keys = jax.random.split(jax.random.key(1), (STEPS, 2))
    weight = 0.5 if with_kl else 0.0
    for number in range(STEPS):
        start = number % 4 * BATCH
        x = blobs.to_float(blobs.train[start : start + BATCH]).double()
        given = jnp.asarray(x.numpy())
        noise = jax.vmap(lambda key, x=given: peer.noise(key, x, with_kl))(keys[number])
        state, theirs = step(state, given, noise, weight, with_kl)
        mode = Mode(
            Given([torch.from_numpy(jax.device_get(draw).copy()) for draw in noise]),
            batch_statistics=True,
            update_statistics=True,
            weight_kl=with_kl,
        )
        ours = minibatch_loss(vae(x.expand(2, *x.shape), mode), weight, config.options)
        adam.zero_grad()
        ours.sum().backward()
        adam.step()
        assert jax.device_get(theirs) == pytest.approx(ours.detach().numpy(), rel=1e-6)
    for name, tensor in vae.state_dict().items():
        found = jax.device_get((state.params | state.running)[name])
        assert found == pytest.approx(tensor.numpy(), rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("model", jax_peer.MODELS)
def test_it_trains_every_minibatch(models, blobs, model):
    config = run_config(models[model], [0, 1, 2], 40, batch_size=24, learning_rate=0.01)
    losses = []
    config = config.model_copy(update={"model": model})
    jax_peer.train(config, blobs, torch.device("cpu"), losses.append)
    assert {each.shape for each in losses} == {(3, 3)}  # 24 + 24 + 16 images
    assert float(losses[-1].mean()) < 0.9 * float(losses[0].mean())
    assert jnp.isfinite(jnp.stack(losses)).all()


def test_it_refuses_other_models(models, blobs):
    config = run_config(models["simplified-mixture"], [0])
    with pytest.raises(ValueError, match="any: found no such model in JAX"):
        jax_peer.train(config, blobs, torch.device("cpu"))
