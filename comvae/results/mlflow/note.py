"""`results/mlflow/imported/<study>.txt`: what is said of the import of a study."""

from pathlib import Path

from comvae.files import write_text
from comvae.results import paths

FAILED = "The runs of this study are NOT in MLflow. "


def note_path(results: Path, study: str) -> Path:
    """Where the note lies."""
    return paths.mlflow_folder(results) / "imported" / f"{study}.txt"


def note_import(results: Path, study: str, summary: str) -> None:
    """Note what an import did."""
    write_text(note_path(results, study), f"{summary}\n")
    _aside(results, study).unlink(missing_ok=True)


def note_failure(results: Path, study: str, reason: str) -> str:
    """Note that the import failed, and return the text of the note."""
    text = (
        f"{FAILED}{reason}\n"
        "All other results are complete. Once that is mended, import them with\n"
        f"    python -m comvae track --study {study}\n"
        "or run the study again, which repeats nothing but the import.\n"
    )
    write_text(note_path(results, study), text)
    return text


def failed_import(results: Path, study: str) -> str:
    """The note of an import that failed; empty where none did."""
    return _failure(note_path(results, study)) or _failure(_aside(results, study))


def set_failure_aside(results: Path, study: str) -> None:
    """Give the note of a failed import another name: the import is due again."""
    if _failure(note_path(results, study)):
        aside = _aside(results, study)
        aside.parent.mkdir(exist_ok=True)
        note_path(results, study).replace(aside)


def _aside(results: Path, study: str) -> Path:
    return paths.mlflow_folder(results) / "not-imported" / f"{study}.txt"


def _failure(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    return text if text.startswith(FAILED) else ""
