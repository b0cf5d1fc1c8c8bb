"""Checkpoints of a block in training: written whole or not at all, and read back only
where they are intact and belong to the same settings.

Two files take turns, so that the previous checkpoint outlives a damaged newest one.
Each is a safetensors file, which holds tensors and no code, and a small JSON file that
is written last and holds the SHA-256 of both.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from comvae.engine.tensors import write_tensors
from comvae.errors import ResultsError
from comvae.files import sha256_of, write_text

log = logging.getLogger("comvae")

# what reading a damaged file may raise
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a training that was stopped, and where it stood."""

    number: int  # grows with each checkpoint of a block
    tensors: dict[str, Tensor]
    record: dict[str, Any]


class Checkpoints:
    """The checkpoints of one block in `folder`, for one config and its seeds."""

    def __init__(self, folder: Path, config_hash: str, seeds: list[int]) -> None:
        self.folder = folder
        self._of = {"config_hash": config_hash, "seeds": seeds}
        self._next = 0

    def save(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write a checkpoint in place of the one before the previous one."""
        slot = self.folder / f"checkpoint-{self._next % 2}.safetensors"
        digest = write_tensors(slot, {k: _plain(v) for k, v in tensors.items()})
        about = self._of | {"number": self._next, "sha256": digest} | record
        about["record_sha256"] = _sha256_of_record(about)
        write_text(slot.with_suffix(".json"), json.dumps(about, indent=2))
        self._next += 1

    def save_last(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write a checkpoint, and remove the one before."""
        self.save(tensors, record)
        for path in self.folder.glob(f"checkpoint-{self._next % 2}.*"):
            path.unlink()

    def load(self) -> Checkpoint | None:
        """The newest intact checkpoint, or None.

        A damaged one is passed over with a warning. Raises ResultsError where an intact
        one belongs to other settings. Removes what a killed process left half written.
        """
        slots = sorted(self.folder.glob("checkpoint-*.safetensors"))
        for left in self.folder.glob(".checkpoint-*"):
            left.unlink(missing_ok=True)
        read = [self._read(slot) for slot in slots]
        found = [checkpoint for checkpoint in read if checkpoint is not None]
        if not found:
            if slots:
                log.warning(
                    "%s: found no intact checkpoint; training begins anew", self.folder
                )
            return None
        newest = max(found, key=lambda checkpoint: checkpoint.number)
        self._next = newest.number + 1
        return newest

    def _read(self, slot: Path) -> Checkpoint | None:
        try:
            record = checked_record(slot)
            number = int(record["number"])
            found = {name: record[name] for name in self._of}
            tensors = load_file(slot)
        except (*DAMAGE, SafetensorError) as error:
            log.warning("%s: damaged checkpoint, passed over: %s", slot, error)
            return None
        if found != self._of:
            raise ResultsError(
                f"{slot}: is a checkpoint of {found}, expected one of {self._of}; "
                f"remove the folder {self.folder} to train from the beginning"
            )
        return Checkpoint(number, tensors, record)


def checked_record(slot: Path) -> dict[str, Any]:
    """What the JSON file beside a checkpoint holds; raises one of DAMAGE where the two
    are not as they were written."""
    record = json.loads(slot.with_suffix(".json").read_text("utf-8"))
    if record.pop("record_sha256") != _sha256_of_record(record):
        raise ValueError("the JSON file beside it is not what was written")
    if (content := sha256_of(slot)) != record["sha256"]:
        raise ValueError(f"found SHA-256 {content}, expected {record['sha256']}")
    return record


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()


def _sha256_of_record(record: dict[str, Any]) -> str:
    canonical = json.dumps(record, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
