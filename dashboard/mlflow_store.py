"""Where MLflow keeps the runs, opened read-only, and only where it is there already.

Importing MLflow takes seconds: it happens when a store is first searched, which one
page of the dashboard does. What goes wrong is a ComvaeError.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from comvae.errors import ResultsError
from comvae.results.mlflow.failures import (
    TrackingError,
    is_server,
    understood,
    without_password,
)
from comvae.results.mlflow.store import load_mlflow, sqlite_file
from dashboard import data

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVER = 3.0  # seconds that a server has to say that it is there
FRESH = 15  # seconds that what a server said is taken as true


@dataclass(frozen=True)
class Store:
    """Where the runs are: a database file, or else a server."""

    uri: str  # as the reader would write it, without a password
    address: str  # as MLflow opens it here
    database: Path | None
    is_mirror: bool  # it lies in `results/` and shows nothing else
    version: tuple[int, int]  # changes where the runs may have


def find_store(results: Path) -> Store:
    """The store that the study names, by default `results/mlflow/mlflow.db`.

    Raises ResultsError where it is not there or cannot be read, before MLflow is
    asked: it would make a database that is missing, and try for minutes to open one
    that is damaged or locked.
    """
    default = results.resolve() / "mlflow" / "mlflow.db"
    uri = _tracking_uri(results)
    database = default if uri is None else sqlite_file(uri)
    if database is not None:
        _check_database(database, results)
        found = data.identity(database)
        version = (0, 0) if found is None else found[1:]
        # `pysqlite` keeps MLflow from making a folder named after the whole address.
        address = f"sqlite+pysqlite:///file:{quote(str(database))}?mode=ro&uri=true"
        shown = f"sqlite:///{database.as_posix()}"
        return Store(shown, address, database, database == default, version)
    shown = without_password(uri)
    if not is_server(uri):
        raise ResultsError(
            f"tracking.uri {shown}: the dashboard reads `sqlite:///<file>` and the "
            "address of an MLflow server; look at this store with `mlflow ui`"
        )
    version = (int(time.monotonic() // FRESH), 0)
    store = Store(shown.rstrip("/"), uri.rstrip("/"), None, False, version)
    _check_server(store)
    return store


def _tracking_uri(results: Path) -> str | None:
    try:
        uri = (data.load_json(results / "study.json") or {}).get("tracking_uri")
    except ResultsError:
        return None  # the study has noted why
    return str(uri) if uri else None


def _check_database(path: Path, results: Path) -> None:
    command = "python -m comvae track"
    if results != Path("results"):
        command += f" --results {results}"
    found = data.identity(path)
    if found is None:
        raise ResultsError(
            f"{path}: there is no MLflow store here. `make study` writes it at its "
            f"end, and `{command}` at any time"
        )
    address = f"file:{quote(str(path))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=2)) as connection:
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
            connection.execute("SELECT run_uuid FROM runs LIMIT 1").fetchone()
    except sqlite3.Error as error:
        if "locked" in str(error):
            advice = "another program has locked it; reload when that is done"
        else:
            advice = (
                "found no MLflow store that can be read. Delete it and run "
                f"`{command}`: nothing is lost, the files under `results/` are the "
                "truth"
            )
        raise ResultsError(f"{path}: {advice} ({error})") from None


@lru_cache(maxsize=4)
def _check_server(store: Store) -> None:
    import requests

    with understood(store.uri, is_mirror=False):
        try:
            requests.get(f"{store.address}/health", timeout=SERVER)
        except requests.Timeout:
            raise ResultsError(
                f"{store.uri}: the MLflow server does not answer within {SERVER:g} s; "
                "start it, or correct tracking.uri in the study"
            ) from None


@contextmanager
def opened(store: Store) -> Iterator["MlflowClient"]:
    """MLflow's client for the store; what it raises becomes one message."""
    try:
        with understood(store.uri, store.is_mirror):
            yield load_mlflow()(tracking_uri=store.address)
    except TrackingError as error:
        said = str(error)
        if store.database is None or not ("schema" in said or "readonly" in said):
            raise
        raise ResultsError(
            f"{store.database}: is not of the schema that the MLflow installed here "
            "reads. `python -m comvae track` brings an older one up to date; where "
            "that fails, delete the file and run it again: nothing is lost, the files "
            "under `results/` are the truth"
        ) from None
