"""Random numbers of a block: one independent stream per seed and purpose.

A seed's draws never depend on which seeds train beside it, nor one purpose on another:
two models with the same seed see the same data order and the same latent noise.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Noise:
    """Streams of random numbers for the `seeds` of a block.

    `stage` keeps initialisation, training and evaluation apart. Tensors come with the
    leading axis of seeds.
    """

    def __init__(
        self, seeds: Sequence[int], stage: str, device: torch.device | str = "cpu"
    ) -> None:
        self.seeds = list(seeds)
        self.stage = stage
        self.device = torch.device(device)
        self._streams: dict[str, list[torch.Generator]] = {}

    def of(self, part: str) -> "Noise":
        """Streams of their own for a part of what these are for."""
        return Noise(self.seeds, f"{self.stage} {part}", self.device)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal draws, (seeds, *shape)."""
        return self.normals(purpose, 1, *shape).squeeze(1)

    def normals(self, purpose: str, count: int, *shape: int) -> Tensor:
        """What `count` calls of `normal` give, (seeds, count, *shape)."""
        out = torch.empty(len(self.seeds), count, *shape, device=self.device)
        # on a CPU torch draws 16 at a time: where these fit, one call is as several
        in_16s = math.prod(shape) % 16 == 0 and self.device.type == "cpu"
        for own, generator in zip(out, self._stream(purpose), strict=True):
            for part in [own] if count == 1 or in_16s else own:
                part.normal_(generator=generator)
        return out

    def uniform(self, purpose: str, bound: float, *shape: int) -> Tensor:
        """Uniform draws from [-bound, bound], (seeds, *shape)."""
        out = torch.empty(len(self.seeds), *shape, device=self.device)
        for own, generator in zip(out, self._stream(purpose), strict=True):
            own.uniform_(-bound, bound, generator=generator)
        return out

    def bernoulli(self, purpose: str, p: Tensor) -> Tensor:
        """1 with the probability `p`, (seeds, ...), and else 0; the same shape."""
        return (self.uniform(purpose, 0.5, *p.shape[1:]) + 0.5 < p).to(p.dtype)

    def permutation(self, purpose: str, n: int) -> Tensor:
        """A random order of 0..n-1 for each seed, (seeds, n)."""
        return torch.stack(
            [
                torch.randperm(n, generator=generator, device=self.device)
                for generator in self._stream(purpose)
            ]
        )

    def generators(self) -> list[torch.Generator]:
        """Every generator that has been drawn from."""
        return [g for streams in self._streams.values() for g in streams]

    def state(self) -> dict[str, Tensor]:
        """The state of each stream that has been drawn from, uint8 (seeds, bytes)."""
        return {
            purpose: torch.stack([generator.get_state() for generator in streams])
            for purpose, streams in self._streams.items()
        }

    def load_state(self, states: dict[str, Tensor]) -> None:
        """Continue the streams from `state()`."""
        for purpose, state in states.items():
            for generator, own in zip(self._stream(purpose), state, strict=True):
                generator.set_state(own.cpu().clone())  # not a view: it would crash

    def _stream(self, purpose: str) -> list[torch.Generator]:
        if purpose not in self._streams:
            self._streams[purpose] = [
                torch.Generator(self.device).manual_seed(
                    _derived_seed(seed, self.stage, purpose)
                )
                for seed in self.seeds
            ]
        return self._streams[purpose]


def _derived_seed(seed: int, stage: str, purpose: str) -> int:
    entropy = [seed, zlib.crc32(stage.encode()), zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
