"""Results that no study names any more."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comvae.errors import SettingsError
from comvae.results import paths
from comvae.study.loading import load_study
from comvae.study.plan import Plan, find_studies

Address = tuple[str, str, str]  # dataset, model, hashes


@dataclass(frozen=True)
class Unused:
    """The runs and evaluations of one address that no study names."""

    folders: list[Path]
    size: int  # bytes; a file that is linked from elsewhere counts too

    def remove(self) -> None:
        """Remove them, and the folders that are empty then."""
        for folder in self.folders:
            shutil.rmtree(folder)
            for parent in list(folder.parents)[:2]:  # of the model, of the dataset
                if not any(parent.iterdir()):
                    parent.rmdir()


def study_files(paths: Iterable[Path], models: Path) -> list[Path]:
    """The studies among `paths`, of a folder all of its files but that of the models.

    Raises SettingsError where there is none: all results would be unused.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    known = [file for file in files if file.resolve() != models.resolve()]
    if not known:
        raise SettingsError("--studies: found no study file, expected one or more")
    return known


def unused(results: Path, studies: Iterable[Path], models: Path) -> list[Unused]:
    """What lies below `results` at an address that neither `studies` nor the plans
    there name; not what is in training, nor what has no address.

    Raises SettingsError where a study cannot be read, and ResultsError where a plan
    cannot: its results would be lost.
    """
    named = _planned(results)
    for study in studies:
        catalogue = load_study(source=study, models=models)
        for dataset in catalogue.study.datasets.names:
            for model in catalogue.models | catalogue.parents:
                config = catalogue.run_config(dataset, model, [0])
                measured = catalogue.study.measured
                named |= _addresses(dataset, model, config.config_hash, measured)
    found: dict[Address, list[Path]] = {}
    for place in ("runs", "evaluations"):
        for folder in sorted(results.glob(f"{place}/*/*/{'[0-9a-f]' * 12}*")):
            dataset, model, address = folder.parts[-3:]
            found.setdefault((dataset, model, address), []).append(folder)
    return [
        Unused(folders, sum(map(_size, folders)))
        for address, folders in found.items()
        if address not in named and not _in_training(folders)
    ]


def _planned(results: Path) -> set[Address]:
    plans = [Plan.read(results, study) for study in find_studies(results)]
    return {
        address
        for plan in plans
        for block in [*plan.blocks, *plan.parents]
        for address in _addresses(
            block.dataset, block.model, block.config_hash, block.measured
        )
    }


def _addresses(dataset: str, model: str, config: str, measured: str) -> set[Address]:
    """Those of the runs and of the evaluations of one (dataset, model) of a study."""
    return {(dataset, model, config), (dataset, model, f"{config}-{measured}")}


def _in_training(folders: list[Path]) -> bool:
    return any(list(folder.glob(f"*/{paths.STATE}")) for folder in folders)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
