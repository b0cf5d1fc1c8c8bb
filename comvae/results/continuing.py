"""A longer training goes on from a finished shorter one of the same settings."""

import logging
from pathlib import Path

from comvae.engine.checkpoints import DAMAGE, checked_record
from comvae.errors import SettingsError
from comvae.files import link
from comvae.results import paths
from comvae.results.blocks import is_trained, read_training
from comvae.study.run_config import RunConfig, load_run_config

log = logging.getLogger("comvae")

CHECKPOINTS = "checkpoint-*.safetensors"


def keep(run: Path) -> None:
    """Keep the checkpoints of a block that has just been trained."""
    _link_checkpoints(run / paths.STATE, run / paths.KEPT)


def go_on_from_longest(run: Path, config: RunConfig, device: str) -> None:
    """Give a block without checkpoints those of the longest finished training of its
    seeds, on a device of that name, that is a beginning of it, if one was kept.

    A damaged one is passed over with a warning.
    """
    if any((run / paths.STATE).rglob(CHECKPOINTS)):
        return
    for epochs, kept in sorted(_beginnings(run, config, device), reverse=True):
        try:
            for slot in kept.rglob(CHECKPOINTS):
                found = checked_record(slot)["config_hash"]
                if found != config.hash_at_any_epoch:
                    raise ValueError(f"it is of the settings {found}")
        except DAMAGE as error:
            log.warning("%s: damaged checkpoint, passed over: %s", kept, error)
            continue
        _link_checkpoints(kept, run / paths.STATE)
        log.info("%s: goes on from the %d epochs of %s", run, epochs, kept.parent)
        return


def _beginnings(run: Path, config: RunConfig, device: str) -> list[tuple[int, Path]]:
    """Epochs and kept checkpoints of the finished trainings that `config` continues,
    with the arithmetic that it has itself."""
    found, ours = [], config.training
    for kept in run.parent.parent.glob(f"*/{run.name}/{paths.KEPT}"):
        try:
            other = load_run_config(kept.parent / paths.CONFIG)
        except SettingsError:
            continue
        theirs = other.training
        if (
            theirs.epochs < ours.epochs
            and other.seeds == config.seeds
            and other.hash_at_any_epoch == config.hash_at_any_epoch
            and (theirs.tf32, theirs.kernels) == (ours.tf32, ours.kernels)
            and is_trained(kept.parent, other)
            and read_training(kept.parent).device == device
        ):
            found.append((theirs.epochs, kept))
    return found


def _link_checkpoints(source: Path, target: Path) -> None:
    # the record last: a checkpoint without it counts as damaged
    for slot in sorted(source.rglob(CHECKPOINTS)):
        for path in (slot, slot.with_suffix(".json")):
            link(path, target / path.relative_to(source))
