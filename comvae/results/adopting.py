"""Finished blocks from elsewhere, such as another machine."""

import logging
import os
from pathlib import Path

from comvae.errors import ResultsError, SettingsError
from comvae.files import check_sha256, link, write_text
from comvae.results import paths
from comvae.results.blocks import is_trained, trained_with
from comvae.study.plan import name_of
from comvae.study.run_config import load_run_config

log = logging.getLogger("comvae")


def adopt(source: Path, results: Path) -> list[Path]:
    """Take the finished blocks below `source` over into `results`; their folders there.

    A file is linked where it can be, and else copied; its date stays. Each block is
    checked against the hash and the checksums of its training.json before: one that was
    trained with other arithmetic has another hash.

    The log says which block is left out, and why. Raises ResultsError where `source`
    holds none at all.
    """
    adopted, seen = [], 0
    for path in sorted(source.rglob(paths.TRAINING)):
        seen += 1
        try:
            adopted.append(_adopt_block(path.parent, results))
        except (ResultsError, SettingsError) as error:
            log.warning("left out: %s", error)
    if not seen:
        raise ResultsError(
            f"{source}: found no {paths.TRAINING} in it or below, expected a folder of "
            "results, or that of a finished block"
        )
    return list(dict.fromkeys(adopted))  # the same block may lie there twice


def _adopt_block(folder: Path, results: Path) -> Path:
    config = load_run_config(folder / paths.CONFIG)
    training = trained_with(folder, config)
    for name, expected in training.sha256.items():
        check_sha256(folder / name, expected)
    seeds = name_of(tuple(config.seeds))
    place = Path(config.dataset, config.model, config.config_hash, seeds)
    target = paths.run_folder(results, place)
    if target.resolve() == folder.resolve() or is_trained(target, config):
        log.info("%s: is there already", target)
        return target
    if (target / paths.STATE).exists():
        raise ResultsError(
            f"{target}: is in training; let it finish, or remove the folder"
        )
    for name in training.sha256:
        link(folder / name, target / name)
    for path in (folder / paths.KEPT).rglob("checkpoint-*"):
        link(path, target / path.relative_to(folder))
    for name in (paths.CONFIG, paths.TRAINING):
        write_text(target / name, (folder / name).read_text("utf-8"))
        dates = (folder / name).stat()
        os.utime(target / name, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    return target
