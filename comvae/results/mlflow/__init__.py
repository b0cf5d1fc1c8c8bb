"""The finished runs of `results/` as MLflow runs: one per (dataset, model, seed).

MLflow is a mirror: it can be deleted and imported again, and importing twice changes
nothing. This is the one part of `comvae` that imports MLflow, and only when used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comvae.errors import ResultsError, SettingsError
from comvae.results import paths
from comvae.results.mlflow.failures import TrackingError
from comvae.results.mlflow.mirror import OUTCOMES, mirror
from comvae.results.mlflow.records import Record, read_records
from comvae.results.mlflow.store import Store, open_store
from comvae.study.passwords import without_password
from comvae.study.plan import Block
from comvae.study.run_config import load_run_config

PLACE = ("dataset", "model", "config_hash", "block")  # tags: where a run's files lie

__all__ = ["Summary", "TrackingError", "track"]


@dataclass(frozen=True)
class Summary:
    """What an import did, in runs; `skipped` says why a block was not imported."""

    uri: str
    imported: int
    replaced: int  # their files had changed
    repaired: int  # their artifacts had been deleted
    unchanged: int
    removed: int  # their block is gone
    skipped: dict[str, str]

    def __str__(self) -> str:
        counts = ", ".join(
            f"{getattr(self, name)} {name}" for name in (*OUTCOMES, "removed")
        )
        lines = [f"MLflow: {counts} ({self.uri})"]
        lines += [f"not imported: {why}" for why in self.skipped.values()]
        return "\n".join(lines)


def track(
    results: Path, blocks: Iterable[Block] | None = None, uri: str | None = None
) -> Summary:
    """Import every finished run of `blocks` into MLflow.

    `blocks` are those of a plan; without, all that there are, as they were last
    measured. `uri` is an MLflow tracking URI, by default the SQLite store in
    `results/mlflow`. The experiment of a run is its dataset; runs of other settings
    stand beside each other. Raises TrackingError where the store cannot be used and
    ResultsError where two blocks hold the same run.
    """
    with open_store(results, uri) as store:
        # Read under the lock, so that an older reading never replaces a newer one.
        records, skipped = _read(results, blocks)
        outcomes = mirror(store, records)
        removed = _remove_vanished(store, results) if store.is_mirror else 0
    counts = {name: outcomes[name] for name in OUTCOMES}
    uri = without_password(store.uri)
    return Summary(uri, **counts, removed=removed, skipped=skipped)


def _read(
    results: Path, blocks: Iterable[Block] | None
) -> tuple[list[Record], dict[str, str]]:
    records: dict[tuple[str, ...], Record] = {}
    skipped: dict[str, str] = {}
    places = [(block.folder, block.measured) for block in blocks or ()]
    if blocks is None:
        folders = [path.parent for path in paths.find_configs(results)]
        every = [paths.place_of(results, folder) for folder in folders]
        places = [(place, paths.newest_measured(results, place)) for place in every]
    for place, measured in places:
        block = paths.run_folder(results, place)
        try:
            found = read_records(results, block, measured)
        except ResultsError as error:
            skipped[str(block)] = str(error)
            continue
        for record in found:
            key = (record.dataset, *record.cell.values())
            twin = records.setdefault(key, record)
            if twin is not record:
                raise ResultsError(
                    f"{block}: holds seed {record.seed} of {record.model} on "
                    f"{record.dataset}, and so does the block {twin.tags['block']}; "
                    "delete the folder of one of them"
                )
    return list(records.values()), skipped


def _remove_vanished(store: Store, results: Path) -> int:
    """Delete the runs whose block was deleted, or no longer holds their seed."""
    removed = 0
    for experiment in store.experiments():
        for run in store.runs(experiment):
            tags = run.data.tags
            place = Path(*(tags[name] for name in PLACE))
            config = paths.run_folder(results, place) / paths.CONFIG
            if not _holds(config, int(tags["seed"])):
                store.client.delete_run(run.info.run_id)
                removed += 1
    return removed


def _holds(config: Path, seed: int) -> bool:
    try:
        return seed in load_run_config(config).seeds
    except SettingsError:
        return config.exists()  # damaged is not gone: skipped with its reason
