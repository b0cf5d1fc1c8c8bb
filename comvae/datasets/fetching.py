"""Fetch a dataset: find its files, verify them, and store them as arrays."""

import importlib
import logging
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from comvae.datasets.download import PATIENCE, Downloader, Patience
from comvae.datasets.finding import Finder
from comvae.datasets.own import read
from comvae.datasets.places import mirrors
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS, SPLITS, Bundled, DatasetSource, Facts, Own
from comvae.datasets.store import (
    RECORD,
    DatasetRecord,
    FileRecord,
    publish,
    read_array,
    read_record,
    sha256_of,
)
from comvae.errors import DatasetError, did_you_mean

log = logging.getLogger("comvae")

FACTS = set(Facts.model_fields)


def fetch(
    name: str,
    output: Path,
    mirror: str | None = None,
    registry: Mapping[str, DatasetSource] = REGISTRY,
    patience: Patience = PATIENCE,
) -> Path:
    """Fetch the dataset `name` into the folder `output`; return its dataset.json.

    Files are looked for in the mirror that COMVAE_MIRROR names, in `mirror`, and at
    their publishers, in this order. Writes {train,test}-{images,labels}.npy, uint8,
    and dataset.json last, which marks the dataset whole. A folder that holds the whole
    dataset already is left as it is. Raises DatasetError, and then leaves no
    dataset.json that was not there and whole before.
    """
    if name not in registry:
        raise DatasetError(
            f"unknown dataset `{name}`.{did_you_mean(name, registry)} "
            f"Known are: {', '.join(registry)}."
        )
    source, output = registry[name], Path(output)
    try:
        if _is_whole(output, name, source):
            log.info("%s: already whole in %s", name, output)
            return output / RECORD
        output.mkdir(parents=True, exist_ok=True)
        files: dict[str, FileRecord] = {}
        if isinstance(source.origin, Bundled):
            arrays, places = _read_bundled(name, source, source.origin)
            changes = source.origin.changes
        elif isinstance(source.origin, Own):
            _, arrays, changes = read(name, source.origin)
            paths = source.origin.paths
            places = {part: str(paths[part.split("-")[0]]) for part in PARTS}
        else:
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=output) as folder:
                download = Downloader(patience)
                finder = Finder(source.origin, mirrors(mirror), Path(folder), download)
                found = {p: finder.find(p, source.published_shape(p)) for p in PARTS}
            places = {part: str(place) for part, (_, place, _) in found.items()}
            files = {part: file for part, (_, _, file) in found.items()}
            published = {part: array for part, (array, _, _) in found.items()}
            arrays, changes = _normalised(name, source, published)
        means = {split: float(arrays[f"{split}-images"].mean()) for split in SPLITS}
        record = DatasetRecord(
            name=name,
            checksum=source.checksum,
            source=places,
            files=files,
            mean_intensity={s: mean / source.pixel_max for s, mean in means.items()},
            changes=changes,
            arrays={part: sha256_of(arrays[part]) for part in PARTS},
            **source.model_dump(include=FACTS),
        )
        path = publish(output, record, arrays)
    except OSError as error:
        raise DatasetError(
            f"{name}: cannot be written to {output} ({error.strerror or error}). Make "
            "room or choose another folder, and run again."
        ) from None
    log.info("%s: %d + %d images in %s", name, *source.counts.values(), output)
    return path


def _is_whole(output: Path, name: str, source: DatasetSource) -> bool:
    """Whether `output` holds this very dataset, with every array intact.

    Removes the record of a dataset that is not whole, before anything trusts it.
    Raises DatasetError where the folder holds another dataset.
    """
    if not (output / RECORD).exists():
        return False
    record = None
    try:
        record = read_record(output)
        if record.name == name:
            for part in PARTS:
                read_array(output, record, part)
            if _is_current(record, source):
                return True
            log.warning("%s: the dataset has other files by now", output)
    except DatasetError as error:
        log.warning("%s", error)
    if record and record.name != name:
        raise DatasetError(
            f"{output}: found the dataset `{record.name}`, expected `{name}` or a new "
            "folder. Choose another folder."
        )
    (output / RECORD).unlink(missing_ok=True)
    return False


def _is_current(record: DatasetRecord, source: DatasetSource) -> bool:
    """Whether a record is of the sizes and checksums that the registry has now."""
    if any(getattr(record, key) != getattr(source, key) for key in FACTS):
        return False
    if isinstance(source.origin, Bundled):
        return record.arrays == source.origin.sha256
    if isinstance(source.origin, Own):
        return record.checksum == source.checksum
    return set(record.files) == set(PARTS) and all(
        file.sha256 in (None, record.files[part].sha256)
        for part, file in source.origin.files.items()
    )


def _read_bundled(
    name: str, source: DatasetSource, origin: Bundled
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    module, function = origin.reader.split(":")
    try:
        arrays = getattr(importlib.import_module(module), function)()
        installed = f"{origin.package} {version(origin.package)}"
    except PackageNotFoundError:
        raise DatasetError(
            f"{name}: found no package {origin.package}, expected it, which carries "
            f"the dataset. Install it: python -m pip install {origin.package}"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(
            f"{name}: {origin.package} is not as expected: found {error}. Install it "
            f"anew: python -m pip install --force-reinstall --no-deps {origin.package}"
        ) from None
    for part in PARTS:
        found = sha256_of(arrays[part])
        if arrays[part].shape != source.shape(part) or found != origin.sha256[part]:
            raise DatasetError(
                f"{name}: {part} of {installed}: found {arrays[part].shape} with "
                f"SHA-256 {found}, expected {source.shape(part)} with "
                f"{origin.sha256[part]}. Install another version of {origin.package}."
            )
    return arrays, dict.fromkeys(PARTS, installed)


def _normalised(
    name: str, source: DatasetSource, arrays: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Upright images and labels from 0; and in words what was changed."""
    first, last = source.first_label, source.first_label + source.classes - 1
    changes = []
    result = {}
    for part, array in arrays.items():
        if part.endswith("images"):
            result[part] = array.transpose(0, 2, 1) if source.transposed else array
            continue
        low, high = int(array.min()), int(array.max())
        if low < first or high > last:
            raise DatasetError(
                f"{name}: {part}: found labels from {low} to {high}, expected {first} "
                f"to {last}. The images and labels are not of this dataset."
            )
        result[part] = array - np.uint8(first)
    if source.transposed:
        changes.append("images turned upright: published with rows and columns swapped")
    if first:
        changes.append(f"labels {first}..{last} stored as 0..{source.classes - 1}")
    return result, changes
