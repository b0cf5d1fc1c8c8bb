"""Where every file under `results/` lies; results/README.md says what each holds.

A place is `<dataset>/<model>/<hash>/<block>`: `Block.folder` of a plan, or a pattern of
them. The hash is that of all that the result of a seed depends on: other settings or
other data are another place. The folder of an evaluation also carries the hash of the
settings that it was measured with.
"""

import os
from pathlib import Path

from comvae.errors import ResultsError

PUBLISHED = "published"  # studies, each a folder of results of its own
# In the folder of a block's run
CONFIG = "run.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"  # also in STATE
TRAINING = "training.json"
STATE = "state"
KEPT = "kept"  # checkpoints of a finished block, as in STATE
PROGRESS = "progress.json"  # in STATE
# In the folder of its evaluation
METRICS = "metrics.csv"
GAPS = "gaps.parquet"
PICTURES = "pictures"


def weights_of(seed: int) -> str:
    """The weights of one seed, in the folder of a published run."""
    return f"weights-seed-{seed}.safetensors"


def results_folder() -> Path:
    """The folder of results: COMVAE_RESULTS, or `results` where the command runs."""
    return Path(os.environ.get("COMVAE_RESULTS") or "results")


def dataset_record(results: Path, dataset: str) -> Path:
    """The record of a dataset, beside its arrays."""
    return results / "datasets" / dataset / "dataset.json"


def run_folder(results: Path, place: str | Path) -> Path:
    """The folder of a block's config, weights and history."""
    return results / "runs" / place


def evaluation_folder(results: Path, place: str | Path, measured: str) -> Path:
    """The folder of a block's metrics, gaps and pictures, measured with the settings of
    that hash."""
    *above, address, block = Path(place).parts
    return Path(results, "evaluations", *above, f"{address}-{measured}", block)


def newest_measured(results: Path, place: str | Path) -> str:
    """The hash of the settings that a block was last measured with; empty if never."""
    found = evaluation_folder(Path(), place, "*")
    newest = max(results.glob(str(found)), key=os.path.getmtime, default=None)
    return newest.parent.name.partition("-")[2] if newest else ""


def find_configs(results: Path) -> list[Path]:
    """The run.json of every block there is, sorted."""
    return sorted(results.glob(f"runs/*/*/*/*/{CONFIG}"))


def place_of(results: Path, folder: Path) -> Path:
    """The place of the block in a run folder; raises ResultsError for any other."""
    place = Path(os.path.relpath(folder, results / "runs"))
    if len(place.parts) != 4 or ".." in place.parts:
        raise ResultsError(
            f"{folder}: is no folder of a block, expected "
            f"{results / 'runs'}/<dataset>/<model>/<hash>/<block>"
        )
    return place


def picture(evaluation: Path, seed: int, kind: str) -> Path:
    """A picture of one seed, `reconstructions` or `samples`."""
    return evaluation / PICTURES / f"seed-{seed}-{kind}.png"


def ood(evaluation: Path, foreign: str) -> Path:
    """The scores of a block's test images, and of those of a foreign dataset."""
    return evaluation / f"ood-{foreign}.parquet"


def svi(evaluation: Path) -> Path:
    """What steps of SVI gain, of a model that is evaluated after some."""
    return evaluation / "svi.csv"


def gap_images(results: Path, dataset: str, measured: str) -> Path:
    """The list of the images that the gaps are measured on, with those settings."""
    return results / "evaluations" / dataset / f"gap-images-{measured}.json"


def table(study: Path, name: str) -> Path:
    """A table in the folder of a study, `study_folder` of comvae.study.plan."""
    return study / "tables" / f"{name}.csv"


def price(study: Path) -> Path:
    """What encoding with each model of a study costs."""
    return study / "price.csv"


def complete(study: Path) -> Path:
    """What says that the tables beside it hold the whole study."""
    return study / "tables" / "complete.json"


def external(results: Path, name: str) -> Path:
    """A file of external results, by its name."""
    return results / "external" / name


def find_external(results: Path) -> list[Path]:
    """Every file of external results, sorted."""
    return sorted(results.glob("external/[!.]*.csv"))


def report(study: Path, name: str) -> Path:
    """A page of a study's report."""
    return study / "report" / f"{name}.md"


def paper_table(study: Path, form: str, file: str) -> Path:
    """A table of a study's report in a form for papers, such as `latex`."""
    return study / "report" / form / file


def mlflow_folder(results: Path) -> Path:
    """The folder of the MLflow store and of the note on the import."""
    return results / "mlflow"


def log_file(stage: str, place: str | Path) -> str:
    """Where the workflow keeps the log of a stage, from where it runs."""
    return f"logs/{stage}/{place}.log"
