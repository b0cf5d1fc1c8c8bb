"""How much is computed at a time, so that memory stays bounded."""

from collections.abc import Iterator

import torch

LOGITS = {"cpu": 2**17, "cuda": 2**26}
"""Most logits of one seed at a time: in cache on a CPU, enough work on a GPU."""

LATENTS = {"cpu": 2**17, "cuda": 2**25}
"""Most numbers in the latents of one seed at a time, where one image has no more."""


def chunks(count: int, size: int, most: int) -> Iterator[slice]:
    """Slices of `count` items of `size` numbers each: `most` numbers, or one item."""
    items = max(1, most // size)
    for start in range(0, count, items):
        yield slice(start, min(start + items, count))


def image_chunks(
    seeds: int, images: int, size: int, device: torch.device
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Slices of images whose latents have `size` numbers each, and the same images as
    the index that `Target.select` takes, (seeds, images in the slice).

    Their length does not depend on the number of seeds, nor do the draws of a seed.
    """
    for part in chunks(images, size, LATENTS[device.type]):
        index = torch.arange(part.start, part.stop, device=device)
        yield part, index.expand(seeds, -1)
