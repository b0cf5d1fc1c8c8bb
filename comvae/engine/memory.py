"""How many seeds of a block fit into a device at once; what malloc keeps."""

import ctypes
import itertools
import logging

import torch

from comvae.model.vae import encoder_parameters, encoder_width
from comvae.study.run_config import RunConfig

log = logging.getLogger("comvae")

FLOAT = 4  # bytes
PER_PARAMETER = 4  # itself, its gradient and Adam's two moments
PER_WEIGHT = 12  # tensors of the size of the weights that are drawn: maps, draws, grads
PER_UNIT = 8  # tensors of the size of a layer's output
KEPT_FREE = 0.15  # of the free memory: libraries, fragments, what others take


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let malloc keep, up to a gigabyte, what a step frees for the next step.

    By default glibc may give it back to the system after each step, which gives it out
    again page by page, zeroed: some hundred faults in a step of a compound model on
    digits, a twentieth of its time. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated on the device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def bytes_per_seed(config: RunConfig, pixels: int) -> int:
    """Estimate of the memory that one seed takes while it trains."""
    options, training = config.options, config.training
    width = encoder_width(pixels, training.hidden, training.latent, options)
    decoder = [training.latent, *[training.hidden] * options.hidden_layers, pixels]
    encoder = [pixels, *[width] * options.hidden_layers, 2 * training.latent]
    parameters = encoder_parameters(pixels, width, training.latent, options)
    parameters += sum((a + 1) * b for a, b in itertools.pairwise(decoder))
    units = sum(encoder) + options.latent_draws * sum(decoder)
    per_image, drawn_once = PER_UNIT * units, 0
    kinds = [options.hidden_layer] * options.hidden_layers + [options.latent_layer]
    for kind, (fan_in, fan_out) in zip(kinds, itertools.pairwise(encoder), strict=True):
        weights = PER_WEIGHT * (fan_in + 1) * fan_out
        each_image = options.bayesian.draws == "image"
        if kind == "dynamic" or (kind == "bayesian" and each_image):
            per_image += weights
        elif kind == "bayesian":
            drawn_once += weights
        elif kind == "adaptive":
            per_image += PER_UNIT * options.adaptive.rank * fan_out
    numbers = PER_PARAMETER * parameters + drawn_once + training.batch_size * per_image
    return FLOAT * numbers


def parts_that_fit(
    config: RunConfig, pixels: int, held: int, device: torch.device
) -> list[RunConfig]:
    """The block, in as many parts as its seeds need to fit into the free memory.

    `held` are the bytes of the images. The parts train one after the other, with the
    same results: no seed depends on the seeds beside it. Where they are several, the
    log says so.
    """
    free = free_memory(device) * (1 - KEPT_FREE) - held
    need = bytes_per_seed(config, pixels)
    fit = max(1, int(free // need))
    if fit < len(config.seeds):
        log.info(
            "%d seeds need about %.1f GB each and %.1f GB of %s memory are free: they "
            "train %d at a time",
            len(config.seeds),
            need / 1e9,
            free / 1e9,
            device.type,
            fit,
        )
    return split(config, fit)


def split(config: RunConfig, at_a_time: int) -> list[RunConfig]:
    """The block in parts of at most so many seeds."""
    return [
        config.model_copy(update={"seeds": config.seeds[start : start + at_a_time]})
        for start in range(0, len(config.seeds), at_a_time)
    ]
