"""The MLflow store: created whole, and open to one importer at a time."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comvae.errors import ComvaeError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DIGEST = "comvae.digest"  # the tag of every run that this package imported
PATIENCE = 600  # seconds to wait for another importer


class TrackingError(ComvaeError):
    """The MLflow store cannot be used."""


@dataclass(frozen=True)
class Store:
    """An open store. `artifacts` is None where a server chooses their place."""

    client: "MlflowClient"
    uri: str
    artifacts: Path | None
    is_mirror: bool  # it lies in `results/` and shows nothing else

    def experiment(self, name: str) -> str:
        """The id of the active experiment `name`, created where there is none."""
        from mlflow.utils.file_utils import local_file_uri_to_path

        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            self.client.restore_experiment(found.experiment_id)
        if self.artifacts is None:
            return found.experiment_id if found else self.client.create_experiment(name)
        place = self.artifacts / name
        if found is not None:
            if Path(local_file_uri_to_path(found.artifact_location)) == place:
                return found.experiment_id
            # The results were moved: MLflow would go on writing to the old place.
            aside = f"{name} (moved, was experiment {found.experiment_id})"
            self.client.rename_experiment(found.experiment_id, aside)
            self.client.delete_experiment(found.experiment_id)
        return self.client.create_experiment(name, artifact_location=place.as_uri())

    def experiments(self) -> list[str]:
        """The ids of all active experiments."""
        return [e.experiment_id for e in _pages(self.client.search_experiments)]

    def runs(self, experiment: str) -> list["Run"]:
        """The active runs of one experiment that this package imported."""
        return _pages(
            self.client.search_runs,
            experiment_ids=[experiment],
            filter_string=f"tags.`{DIGEST}` != ''",
        )


@contextmanager
def open_store(results: Path, uri: str | None) -> Iterator[Store]:
    """The store at `uri`, by default SQLite in `results/mlflow`, for one importer.

    Waits while another importer has it. Raises TrackingError where it cannot be used,
    also for what MLflow raises inside the `with`.
    """
    home = results.resolve() / "mlflow"
    default = home / "mlflow.db"
    database = default if uri is None else _sqlite_file(uri)
    if database is not None:
        uri = f"sqlite:///{database.as_posix()}"
    folder = home if database is None else database.parent
    with _understood(uri, is_mirror=database == default), _alone(folder):
        client_of = _load_mlflow()
        artifacts = None if _is_server(uri) else folder / "artifacts"
        if database is not None:
            created = _prepare(database)
            if created and database == default and artifacts.is_dir():
                shutil.rmtree(artifacts)  # of a database that was deleted
        yield Store(
            client=client_of(tracking_uri=uri),
            uri=uri,
            artifacts=artifacts,
            is_mirror=database == default,
        )


def _load_mlflow() -> type["MlflowClient"]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow keeps connections to a database file even after the file was deleted.
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Its own 7 retries keep a user waiting for minutes on a wrong address.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
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
        upgrade.callback(url=f"sqlite:///{database.as_posix()}")
        return False
    fresh = database.with_name(f"{database.name}.new")
    # SQLite would roll the journal of a lost file back into a new one.
    for name in (fresh.name, f"{fresh.name}-journal", f"{database.name}-journal"):
        database.with_name(name).unlink(missing_ok=True)
    upgrade.callback(url=f"sqlite:///{fresh.as_posix()}")
    os.replace(fresh, database)
    return True


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


@contextmanager
def _understood(uri: str, is_mirror: bool) -> Iterator[None]:
    """Turn what MLflow and its database layers raise into one message."""
    try:
        yield
    except ComvaeError:
        raise
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"MLflow cannot be imported ({error}): install it with "
            "`pip install 'comvae[tracking]'`"
        ) from None
    except OSError as error:
        place, why = error.filename or uri, error.strerror or error
        message = f"{place}: MLflow cannot use it ({why}); mend that and import again"
        raise TrackingError(without_password(message)) from None
    except Exception as error:
        kinds = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
        if not kinds & {"mlflow", "sqlalchemy", "alembic"}:
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        advice = (
            f"delete {uri.removeprefix('sqlite:///')} and import again: nothing is "
            "lost, the files under `results/` are the truth"
            if is_mirror
            else "expected `sqlite:///<file>` or the address of a running server such "
            "as `http://127.0.0.1:5000`"
        )
        message = f"tracking.uri {uri}: MLflow cannot use it ({first}); {advice}"
        raise TrackingError(without_password(message)) from None


def without_password(text: str) -> str:
    """`text` without the `user:password@` of any address in it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite URI, absolute; None for any other URI."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).resolve()


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _pages(search: Any, **query: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = search(page_token=token, **query)
        found.extend(page)
        token = page.token
        if not token:
            return found
