"""What q(z given x) of an image costs: time, decoder evaluations and memory.

Times are those of the machine that measures them, with whatever else runs there.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from comvae.datasets.loading import Dataset
from comvae.engine.fused import fuse
from comvae.evaluation.elbo import batches
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Evaluation

IMAGES = 1000
REPEATS = 5
LEAST, MOST = 1.0, 60.0  # seconds of all that is timed; a minute needs no repetition


def price(
    vae: VAE,
    config: RunConfig,
    dataset: Dataset,
    settings: Evaluation,
    device: torch.device,
) -> dict[str, float]:
    """`encode_seconds`, `decoder_evaluations` and `memory` of one seed's encoder.

    The first IMAGES test images, or all where there are fewer, are encoded in batches
    of the evaluation: once under a `Watch`, once to warm up, then REPEATS times, for
    LEAST to MOST seconds, of which the median counts. The layers have the kernels that
    they are evaluated with.
    """
    images = dataset.test[:IMAGES].to(device)
    noise = Noise(config.seeds, "price", device)

    def encode(turn: int) -> float:
        """Seconds; the order of the images differs by `turn`: an encoder that keeps
        what it found, such as q*, finds it anew."""
        start = time.perf_counter()
        for batch in batches(images.roll(turn, 0), settings.batch_size):
            x = dataset.to_float(batch).unsqueeze(0)
            next(iter(vae.encoder.posteriors(x, Mode(noise, weight_kl=False), 1)))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    with Watch(vae) as watch:
        encode(0)
    if config.training.kernels == "auto":
        fuse(vae, device, training=False)
    encode(1)
    timed: list[float] = []
    while sum(timed) < (LEAST if len(timed) >= REPEATS else MOST):
        timed.append(encode(2 + len(timed)))
    return {
        "encode_seconds": statistics.median(timed) * IMAGES / len(images),
        "decoder_evaluations": watch.decoded / len(images),
        "memory": (watch.weights + watch.most) / 1e6,
    }


class Watch(TorchDispatchMode):
    """Counts, while it is entered, the latents that the decoder of a VAE is run on, and
    the bytes of the tensors that are there at once beside its weights."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        last = vae.decoder.layers[-1].weight
        self.last, self.pixels = _storage(last), last.shape[-1]
        self.known = {_storage(tensor) for tensor in vae.state_dict().values()}
        self.weights = sum(t.nbytes for t in vae.state_dict().values())
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.decoded = self.most = self.total = 0

    def __torch_dispatch__(
        self, operation: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and look at what it read and made."""
        made = operation(*args, **(kwargs or {}))
        read = {_storage(tensor) for tensor in _tensors(args)}
        for tensor in _tensors(made):
            if (key := _storage(tensor)) in self.known:
                continue
            # gradients by z have the shape of a hidden layer
            if self.last in read and tensor.shape[-1:] == (self.pixels,):
                self.decoded += tensor.numel() // self.pixels
            storage = tensor.untyped_storage()
            self.total -= self.held.pop(key, (None, 0))[1]  # of a tensor that is gone
            self.held[key] = StorageWeakRef(storage), storage.nbytes()
            self.total += storage.nbytes()
        if self.total > self.most:  # unless some of them are gone
            self.held = {k: v for k, v in self.held.items() if not v[0].expired()}
            self.total = sum(size for _, size in self.held.values())
            self.most = max(self.most, self.total)
        return made


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
