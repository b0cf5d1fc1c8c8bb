"""The artifacts of a run in MLflow, its address there, and code that fetches it."""

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from comvae.errors import ResultsError
from dashboard.mlflow_store import Store, opened
from dashboard.tracking import RUNNING, Opened

UI = "http://127.0.0.1:5000"  # where `make mlflow` shows it


@dataclass(frozen=True)
class Artifact:
    """A file of a run; `size` in bytes."""

    path: str
    size: int


def listed(store: Store, run: Opened) -> list[Artifact]:
    """The artifacts of a run, by name; none where they were deleted.

    Raises ResultsError where a server does not hand them out.
    """
    if store.database is not None:
        folder = _folder(store.database, run)
        return [
            Artifact(str(path.relative_to(folder)), path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.resolve().is_relative_to(folder)
        ]
    _check_served(run)
    with opened(store) as client:
        found = client.list_artifacts(run.run_id)
    return [
        Artifact(each.path, each.file_size or 0) for each in found if not each.is_dir
    ]


def load(store: Store, run: Opened, artifact: Artifact) -> bytes:
    """The content of an artifact, byte for byte."""
    if store.database is not None:
        return (_folder(store.database, run) / artifact.path).read_bytes()
    with opened(store) as client, tempfile.TemporaryDirectory() as folder:
        return Path(
            client.download_artifacts(run.run_id, artifact.path, folder)
        ).read_bytes()


def _folder(database: Path, run: Opened) -> Path:
    """Where `comvae track` puts them: beside the database, though that was moved.

    The place that the database itself names is not read: it may be any on this machine.
    """
    root = (database.parent / "artifacts").resolve()
    folder = (root / run.cell[0] / run.run_id / "artifacts").resolve()
    if not folder.is_relative_to(root):
        raise ResultsError(f"{database}: the run {run.name} has no place in {root}")
    return folder


def _check_served(run: Opened) -> None:
    if urlsplit(run.artifact_uri).scheme in ("", "file"):
        raise ResultsError(
            "The server keeps artifacts on its own disk and hands none out; see "
            "`--serve-artifacts` of `mlflow server`"
        )


def address(store: Store, run: Opened) -> str:
    """The run in MLflow's own pages."""
    server = store.uri if store.database is None else UI
    return f"{server}/#/experiments/{run.experiment_id}/runs/{run.run_id}"


def ui_command(store: Store) -> str | None:
    """What starts MLflow's pages; None where a server shows them already."""
    if store.database is None:
        return None
    if store.database == Path("results/mlflow/mlflow.db").resolve():
        return "make mlflow"
    return (
        "mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri "
        f"{shlex.quote(store.uri)}"
    )


def code(store: Store, run: Opened) -> str:
    """A program that fetches the run: its settings, metrics, curve and artifacts."""
    return f"""\
import mlflow

mlflow.set_tracking_uri({store.uri!r})
[run] = mlflow.search_runs(
    experiment_names=[{run.cell[0]!r}],
    filter_string={f"attributes.run_name = '{run.name}'"!r},
    output_format="list",
)
print(run.data.params)
print(run.data.metrics)

client = mlflow.MlflowClient()
history = client.get_metric_history(
    run.info.run_id, "{RUNNING}_negative_elbo"
)
curve = {{point.step: point.value for point in history}}
print(curve)
"""
