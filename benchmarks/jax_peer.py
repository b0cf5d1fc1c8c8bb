"""Contestant: the same models as a fast researcher writes them in JAX.

`vmap` over seeds, an epoch in one jitted `scan` over its minibatches with its buffers
donated, Adam of optax, float32 throughout. It starts from the values that
`comvae.engine.build` draws, and has the shortcuts of comvae that are exact: the weight
KL only where it matters, and elsewhere outputs drawn in place of weights.
"""

import itertools
import math
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch is here too

import jax
import jax.numpy as jnp
import optax
from jax import Array

from comvae.datasets.loading import Dataset
from comvae.engine.build import build
from comvae.engine.step import matters
from comvae.model.maps import NORM_EPS
from comvae.model.objective import complexity_weights
from comvae.model.priors import LOG_SQRT_2PI
from comvae.study.run_config import RunConfig

MODELS = ("vanilla", "compound-mixture")
Tensors = dict[str, Array]  # named as in the state of `comvae.model.vae.VAE`


class State(NamedTuple):
    """What a step changes, with a leading axis of seeds."""

    params: Tensors
    running: Tensors  # statistics of batch norm
    adam: optax.OptState


class Peer:
    """The training of a block: `step` is one minibatch of one seed."""

    def __init__(self, config: RunConfig, pixels: int) -> None:
        self.config, self.options = config, config.options
        vae = build(config, pixels)
        self.random_weights = vae.encoder.random_weights()
        names = {name for name, _ in vae.named_parameters()}
        tensors = {name: jnp.asarray(t.numpy()) for name, t in vae.state_dict().items()}
        params = {name: tensors.pop(name) for name in names}
        self.optimiser = optax.adam(config.training.learning_rate)
        self.start = State(params, tensors, jax.vmap(self.optimiser.init)(params))

    def step(
        self, state: State, x: Array, noise: list[Array], weight: Array, with_kl: bool
    ) -> tuple[State, Array]:
        """One step of one seed on images x, (batch, pixels), and its loss."""
        loss = jax.value_and_grad(self._loss, has_aux=True)
        (value, running), gradients = loss(
            state.params, state.running, x, noise, weight, with_kl
        )
        updates, adam = self.optimiser.update(gradients, state.adam)
        return State(optax.apply_updates(state.params, updates), running, adam), value

    def noise(self, key: Array, x: Array, with_kl: bool) -> list[Array]:
        """Standard normal draws of one seed's step, in the order of their use."""
        training, batch = self.config.training, len(x)
        shapes: list[tuple[int, ...]] = []
        if self.options.hidden_layer == "dynamic":
            widths = x.shape[1], training.hidden, 2 * training.latent
            for fan_in, fan_out in itertools.pairwise(widths):
                shapes.append(
                    (fan_out, fan_in + 1, batch) if with_kl else (fan_out, batch)
                )
        shapes.append((batch, training.latent))
        keys = jax.random.split(key, len(shapes))
        return [jax.random.normal(*each) for each in zip(keys, shapes, strict=True)]

    def _loss(
        self,
        p: Tensors,
        running: Tensors,
        x: Array,
        noise: list[Array],
        weight: Array,
        with_kl: bool,
    ) -> tuple[Array, Tensors]:
        columns, noise, running = x.T, list(noise), dict(running)
        h, kl = self._layer(p, running, "encoder.hidden.0", columns, noise, with_kl)
        if self.options.batch_norm_hidden:
            h = self._batch_norm(p, running, "encoder.norms.0", h)
        out, more = self._layer(
            p, running, "encoder.latents", jax.nn.relu(h), noise, with_kl
        )
        mean, s = jnp.split(out.T, 2, axis=1)
        scale = jax.nn.softplus(s) + jnp.finfo(s.dtype).tiny
        z = mean + scale * noise[0]
        latent_kl = (0.5 * (mean**2 + scale**2 - 1) - jnp.log(scale)).sum(1)
        logits = _affine(p, "decoder.layers.0", z.T)
        logits = _affine(p, "decoder.layers.1", jax.nn.relu(logits))
        cross_entropy = optax.sigmoid_binary_cross_entropy(logits, columns).sum(0)
        data = cross_entropy + latent_kl
        loss = data.sum() if self.options.data_term == "sum" else data.mean()
        return loss + weight * (kl + more), running

    def _layer(
        self,
        p: Tensors,
        running: Tensors,
        name: str,
        columns: Array,
        noise: list[Array],
        with_kl: bool,
    ) -> tuple[Array, Array | float]:
        """(fan_in, batch) -> (fan_out, batch) and the layer's weight KL."""
        if f"{name}.weight" in p:
            return _affine(p, name, columns), 0.0
        eps = noise.pop(0)
        fan_in, batch = columns.shape
        maps = p[f"{name}.maps.map"] @ columns
        maps = self._batch_norm(p, running, f"{name}.maps.norm", maps)
        mu, rho = maps.reshape(2, -1, fan_in + 1, batch)
        sigma = jax.nn.softplus(rho)
        if not with_kl:
            variance = _applied(sigma**2, columns**2)
            tiny = jnp.finfo(variance.dtype).tiny
            return _applied(mu, columns) + jnp.sqrt(variance.clip(tiny)) * eps, 0.0
        w = mu + sigma * eps
        log_q = -0.5 * eps**2 - jnp.log(sigma) - LOG_SQRT_2PI
        return _applied(w, columns), (log_q - self._log_prior(w)).sum() / batch

    def _batch_norm(
        self, p: Tensors, running: Tensors, name: str, columns: Array
    ) -> Array:
        mean, variance = columns.mean(1), columns.var(1)
        batch, momentum = columns.shape[1], self.options.batch_norm_momentum
        for key, new in (
            ("running_mean", mean),
            ("running_var", variance * batch / (batch - 1)),
        ):
            old = running[f"{name}.{key}"]
            running[f"{name}.{key}"] = old + momentum * (new - old)
        scale = p[f"{name}.gamma"] * jax.lax.rsqrt(variance + NORM_EPS)
        return (columns - mean[:, None]) * scale[:, None] + p[f"{name}.beta"][:, None]

    def _log_prior(self, w: Array) -> Array:
        prior = self.options.weight_prior
        densities = (
            math.log(share / scale) - LOG_SQRT_2PI - 0.5 * (w / scale) ** 2
            for share, scale in ((prior.pi, prior.slab), (1 - prior.pi, prior.spike))
        )
        return jnp.logaddexp(*densities)


def train(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    on_epoch: Callable[[Array], None] = lambda losses: None,
) -> None:
    """Train the block; `on_epoch` gets the losses of the epoch's steps, (steps, seeds).

    Raises ValueError for a model that is not in MODELS.
    """
    if config.model not in MODELS:
        raise ValueError(f"{config.model}: found no such model in JAX, only {MODELS}")
    precision = "default" if config.training.tf32 else "highest"
    place = jax.devices("gpu" if device.type == "cuda" else "cpu")[0]
    with jax.default_device(place), jax.default_matmul_precision(precision):
        peer = Peer(config, dataset.train.shape[1])
        images = jnp.asarray(dataset.train.numpy())
        state = jax.tree.map(jnp.copy, peer.start)
        keys = jnp.stack([jax.random.key(seed) for seed in config.seeds])
        epoch = jax.jit(partial(_epoch, peer, dataset.pixel_max), donate_argnums=(0, 1))
        for _ in range(config.training.epochs):
            state, keys, losses = epoch(state, keys, images)
            on_epoch(jax.block_until_ready(losses))


def _epoch(
    peer: Peer, pixel_max: int, state: State, keys: Array, images: Array
) -> tuple[State, Array, Array]:
    """All minibatches in a new order for each seed: those whose weight KL matters, the
    others, and last the one that is smaller."""
    count, size = len(images), peer.config.training.batch_size
    minibatches = math.ceil(count / size)
    weights = complexity_weights(peer.options.complexity_weights, minibatches)
    matter = [matters(weight, peer.random_weights) for weight in weights.tolist()]
    splits = jax.vmap(partial(jax.random.split, num=2))(keys)
    order = jax.vmap(lambda key: jax.random.permutation(key, count))(splits[:, 1])

    def step(
        carried: tuple[State, Array], batch: tuple[Array, Array], with_kl: bool
    ) -> tuple[tuple[State, Array], Array]:
        chosen, weight = batch  # (seeds, batch)

        def of_seed(state: State, key: Array, own: Array):
            key, used = jax.random.split(key)
            x = images[own].astype(jnp.float32) / pixel_max
            noise = peer.noise(used, x, with_kl)
            return *peer.step(state, x, noise, weight, with_kl), key

        state, losses, keys = jax.vmap(of_seed)(*carried, chosen)
        return (state, keys), losses

    carried, losses = (state, splits[:, 0]), []
    whole = count // size
    first = sum(matter[:whole])
    scaled = jnp.asarray(weights.float().numpy())
    full = order[:, : whole * size].reshape(len(keys), whole, size).swapaxes(0, 1)
    for with_kl, part in ((True, slice(0, first)), (False, slice(first, whole))):
        steps = partial(step, with_kl=with_kl)
        carried, found = jax.lax.scan(steps, carried, (full[part], scaled[part]))
        losses.append(found)
    if whole < minibatches:
        rest = order[:, whole * size :], scaled[-1]
        carried, found = step(carried, rest, with_kl=matter[-1])
        losses.append(found[None])
    state, keys = carried
    return state, keys, jnp.concatenate(losses)


def _affine(p: Tensors, name: str, columns: Array) -> Array:
    """(fan_in, batch) -> (fan_out, batch)."""
    return p[f"{name}.weight"].T @ columns + p[f"{name}.bias"][:, None]


def _applied(weights: Array, columns: Array) -> Array:
    """Each image's own weights and, last, bias: -> (fan_out, batch)."""
    return (weights[:, :-1] * columns).sum(1) + weights[:, -1]
