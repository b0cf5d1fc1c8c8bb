"""`results/mlflow/imported.txt`: what a study says of its import into MLflow."""

from pathlib import Path

from comvae.files import write_text
from comvae.results import paths

FAILED = "The runs of this study are NOT in MLflow. "


def note_path(results: Path) -> Path:
    """Where the note lies."""
    return paths.mlflow_folder(results) / "imported.txt"


def note_import(results: Path, summary: str) -> None:
    """Note what an import did."""
    write_text(note_path(results), f"{summary}\n")
    _aside(results).unlink(missing_ok=True)


def note_failure(results: Path, reason: str) -> str:
    """Note that the import failed, and return the text of the note."""
    text = (
        f"{FAILED}{reason}\n"
        "All other results are complete. Once that is mended, import them with\n"
        "    python -m comvae track\n"
        "or run the study again, which repeats nothing but the import.\n"
    )
    write_text(note_path(results), text)
    return text


def failed_import(results: Path) -> str:
    """The note of an import that failed; empty where none did."""
    return _failure(note_path(results)) or _failure(_aside(results))


def set_failure_aside(results: Path) -> None:
    """Give the note of a failed import another name: the import is due again."""
    if _failure(note_path(results)):
        note_path(results).replace(_aside(results))


def _aside(results: Path) -> Path:
    return paths.mlflow_folder(results) / "not-imported.txt"


def _failure(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    return text if text.startswith(FAILED) else ""
