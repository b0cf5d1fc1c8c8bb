"""What lies in the database of an MLflow store, read without MLflow."""

from collections import defaultdict
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

# How the import keeps order among its runs; another import writes other values.
OWN_TAGS = ("comvae.generation", "comvae.import")
RUNS = """
    SELECT r.run_uuid, r.name, r.status, r.start_time, r.end_time, r.artifact_uri
    FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
    WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
"""


def active_runs(database: str) -> list[tuple[str, str]]:
    """Name and status of each run that a user can see."""
    return sorted((run["name"], run["status"]) for run in _rows(database, RUNS))


def content(database: str, served: Path | None = None) -> dict[str, dict]:
    """All of each run by its name, but for ids and places; a name stands once.

    `served` is the folder of a server's artifacts.
    """
    columns = {
        "params": "key, value",
        "metrics": "key, step, timestamp, value, is_nan",
        "tags": "key, value",
    }
    parts: dict = defaultdict(lambda: defaultdict(list))
    for table, names in columns.items():
        for row in _rows(database, f"SELECT run_uuid, {names} FROM {table}"):
            if row["key"] not in OWN_TAGS:
                parts[row["run_uuid"]][table].append(tuple(row.values())[1:])
    found: dict[str, dict] = {}
    for run in _rows(database, RUNS):
        assert run["name"] not in found, f"{run['name']} stands twice"
        place = run["artifact_uri"].removeprefix("file://")
        if served is not None:
            place = place.replace("mlflow-artifacts:", str(served))
        found[run["name"]] = {
            "times": (run["status"], run["start_time"], run["end_time"]),
            "artifacts": {
                path.name: path.read_bytes() for path in Path(place).iterdir()
            },
            **{table: sorted(parts[run["run_uuid"]][table]) for table in columns},
        }
    return found


def _rows(database: str, query: str) -> list[dict]:
    with create_engine(database, poolclass=NullPool).connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]
