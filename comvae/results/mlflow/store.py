"""The MLflow store: a database file, created whole and locked, or a server."""

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from comvae.results import paths
from comvae.results.mlflow.failures import TrackingError, is_server, understood

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Result = TypeVar("Result")

DIGEST = "comvae.digest"  # the tag of every run that this package imported
VIEW = "mlflow.sharedViewState.models"  # ?viewStateShareKey=models in MLflow's pages
BY_MODEL = json.dumps(
    {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "model"}],
        }
    }
)
# What a server answers where another importer wrote the same in the same moment.
OVERTAKEN = ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
PATIENCE = 600  # seconds to wait for another importer
LOCKED = 60  # and for another program
CONNECT = 10  # and for a database server


@dataclass(frozen=True)
class Store:
    """An open store. `artifacts` is None where a server chooses their place."""

    client: "MlflowClient"
    uri: str
    artifacts: Path | None
    is_mirror: bool  # it lies in `results/` and shows nothing else

    def experiment(self, name: str) -> str:
        """The id of the active experiment `name`, created where there is none."""
        return again_if_overtaken(self._experiment, name)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            self.client.restore_experiment(found.experiment_id)
        if found is not None:
            number = found.experiment_id
        else:
            artifacts = self.artifacts
            place = None if artifacts is None else (artifacts / name).as_uri()
            number = self.client.create_experiment(name, place, {VIEW: BY_MODEL})
        if found is not None and found.tags.get(VIEW) != BY_MODEL:
            self.client.set_experiment_tag(number, VIEW, BY_MODEL)
        return number

    def experiments(self) -> list[str]:
        """The ids of all active experiments."""
        return [e.experiment_id for e in _pages(self.client.search_experiments)]

    def runs(self, experiment: str, **tags: str) -> list["Run"]:
        """The active runs of one experiment that this package imported."""
        wanted = [f"tags.`{DIGEST}` != ''"]
        wanted += [f"tags.{name} = '{value}'" for name, value in tags.items()]
        return _pages(
            self.client.search_runs,
            experiment_ids=[experiment],
            filter_string=" and ".join(wanted),
        )


def again_if_overtaken(call: Callable[..., Result], *args: object) -> Result:
    """What `call` returns, at a second try if another importer was in its way."""
    from mlflow.exceptions import MlflowException

    try:
        return call(*args)
    except MlflowException as error:
        if error.error_code not in OVERTAKEN:
            raise
        return call(*args)


@contextmanager
def open_store(results: Path, uri: str | None) -> Iterator[Store]:
    """The store at `uri`, by default SQLite in `results/mlflow`.

    A database is open to one importer at a time, and others wait; a server is open to
    all. Raises TrackingError where the store cannot be used, also for what MLflow
    raises inside the `with`.
    """
    home = paths.mlflow_folder(results.resolve())
    default = home / "mlflow.db"
    database = default if uri is None else sqlite_file(uri)
    if database is not None:
        uri = _uri(database)
    folder = home if database is None else database.parent
    alone = nullcontext() if is_server(uri) else _alone(folder)
    with understood(uri, is_mirror=database == default), alone:
        client_of = load_mlflow()
        artifacts = None if is_server(uri) else folder / "artifacts"
        if uri.startswith(("postgresql", "mysql")):
            _connect(uri)
        if database is not None:
            _wait_for(database)
            created = _prepare(database)
            if created and database == default and artifacts.is_dir():
                shutil.rmtree(artifacts)  # of a database that was deleted
            _bring_home(database, artifacts)
        yield Store(
            client=client_of(tracking_uri=uri),
            uri=uri,
            artifacts=artifacts,
            is_mirror=database == default,
        )
        if database is not None:
            analyse(database)


def load_mlflow() -> type["MlflowClient"]:
    """MLflow's client, after its import, which takes seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow keeps connections to a database file even after the file was deleted.
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Its own 7 retries of 120 s keep a user waiting for 20 minutes on a server that
    # hangs.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow import MlflowClient

    # What goes wrong is raised as well; the rest would bury the stage's own log.
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _prepare(database: Path) -> bool:
    """Create the database, or bring it to this MLflow's schema; says if it is new.

    Creation takes seconds and many migrations, and a database that is half migrated
    stays broken: so it happens under another name.
    """
    from mlflow.db import upgrade

    if database.exists() and database.stat().st_size > 0:
        upgrade.callback(url=_uri(database))
        return False
    fresh = database.with_name(f"{database.name}.new")
    # SQLite would roll the journal of a lost file back into a new one.
    for name in (fresh.name, f"{fresh.name}-journal", f"{database.name}-journal"):
        database.with_name(name).unlink(missing_ok=True)
    upgrade.callback(url=_uri(fresh))
    os.replace(fresh, database)
    return True


def _bring_home(database: Path, artifacts: Path) -> None:
    """Let experiments and runs have their artifacts beside the database.

    MLflow keeps absolute places: in a copy of the folder they would be those of the
    original, for `mlflow gc` too, and in one that was moved they would be nowhere.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        for number, name, old in connection.execute(
            "SELECT experiment_id, name, artifact_location FROM experiments"
        ).fetchall():
            new = (artifacts / name).as_uri()
            if old == new or not old.endswith(f"/artifacts/{name}"):
                continue
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (new, number),
            )
            connection.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                (new, len(old) + 1, number, len(old) + 1, f"{old}/"),
            )


def _connect(uri: str) -> None:
    """Raise at once where a database cannot be reached: MLflow tries for minutes."""
    from sqlalchemy import create_engine

    with create_engine(uri, connect_args={"connect_timeout": CONNECT}).connect():
        pass


def _wait_for(database: Path) -> None:
    """Wait while another program writes to the database; raises TrackingError."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=LOCKED)) as connection:
            connection.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return  # damaged: MLflow says so
        raise TrackingError(
            f"{database}: has been locked for {LOCKED} s by {_holders(database)}; wait "
            "for its end, or end it, and import again"
        ) from None


def _holders(database: Path) -> str:
    """The other processes that have a file open, as far as the system tells."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "name"]):
        with suppress(psutil.Error):
            files = {file.path for file in process.open_files()}
            if str(database) in files and process.pid != os.getpid():
                found.append(f"process {process.pid} ({process.name()})")
    return ", ".join(found) or "another program"


def analyse(database: Path) -> None:
    """Tell SQLite how large its tables are.

    Else it looks at 10,000 runs for each of 10,000 to put them in a metric's order.
    """
    with (
        suppress(sqlite3.OperationalError),  # busy: the next import does it
        closing(sqlite3.connect(database)) as connection,
    ):
        connection.executescript("PRAGMA analysis_limit=1000; ANALYZE;")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "import.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise TrackingError(
            f"{lock.lock_file}: another import has held this lock for {PATIENCE} s; "
            "end that process and import again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite URI, absolute; None for any other URI."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).resolve()


def _uri(database: Path) -> str:
    """The SQLite URI of a file. A `?` would end the path: it is avoided where the
    path from the working folder has none, and else raises TrackingError."""
    path = database.as_posix()
    if "?" in path:
        path = Path(os.path.relpath(database)).as_posix()
    if "?" in path:
        raise TrackingError(
            f"{database}: has a `?` in its path, which MLflow cannot open from "
            f"{Path.cwd()}; run the command in the folder that holds `results/`"
        )
    return f"sqlite:///{path}"


def _pages(search: Any, **query: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = search(page_token=token, **query)
        found.extend(page)
        token = page.token
        if not token:
            return found
