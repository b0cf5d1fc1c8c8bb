"""A finished study as a folder of results that is small enough to publish."""

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comvae.errors import ResultsError
from comvae.files import sha256_of, write_text
from comvae.results import paths
from comvae.results.blocks import BlockFiles
from comvae.results.datasheet import README, datasheet
from comvae.results.report import write_report
from comvae.results.tables import lacking, write_tables
from comvae.results.weights import save_first_seed
from comvae.study.plan import PLAN, Plan

LARGEST = 2_000_000  # bytes of a file that is published
MANIFEST = "manifest.json"


def publish(results: Path, plan: Plan, target: Path) -> list[Path]:
    """Write `target`, a folder of results with this study alone; what is left out.

    It has all that tables, report and dashboard are made of, of pictures those of a
    block's first seed, and no file of more than LARGEST bytes; of weights that are
    larger, those of the first seed where these are not.
    Its tables and report are made there, from the published files. `README.md` says
    what the study is, `manifest.json` how it was made, with the checksum of each file,
    also of those left out. What was published of the study before is replaced once all
    is there.

    Raises ResultsError where a run of the study is missing or damaged, and where
    `target` holds anything but this study.
    """
    before = _published_before(target)
    if before not in (None, plan.study):
        raise ResultsError(
            f"{target}: found {before or 'other files'}, expected an empty folder, or "
            f"the study {plan.study}; publish it elsewhere with --target"
        )
    files = list(_files(results, plan))
    left_out = [path for path in files if path.stat().st_size > LARGEST]
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".publish-") as place:
        new = Path(place, target.name)
        for path in set(files).difference(left_out):
            copy = new / path.relative_to(results)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        for dataset in plan.datasets:
            _forget_folders(paths.dataset_record(new, dataset))
        for path in left_out:
            if path.name == paths.WEIGHTS:
                run = path.parent
                save_first_seed(run, new / run.relative_to(results), LARGEST)
        reasons = lacking(write_tables(new, plan)["cells"])
        if reasons:
            raise ResultsError(
                f"{results}: found the study {plan.study} unfinished: {reasons[0]}; "
                "finish it first: make study"
            )
        write_report(new, plan)
        made = _made(results, plan)
        write_text(new / README, datasheet(new, plan, made))
        manifest = {
            "study": plan.study,
            "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **made,
            "sha256": _checksums(new, new.rglob("*")),
            "left_out": _checksums(results, left_out),
        }
        write_text(new / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        if target.exists():
            shutil.rmtree(target)
        new.rename(target)
    return left_out


def _published_before(target: Path) -> str | None:
    """The study that `target` holds; None if it is empty, "" if it holds others."""
    if not target.is_dir() or not any(target.iterdir()):
        return None
    try:
        return str(json.loads((target / MANIFEST).read_bytes())["study"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _files(results: Path, plan: Plan) -> Iterator[Path]:
    """The files below `results` that the study is read from; of what is not there,
    none."""
    study = plan.folder(results)
    there = [study / PLAN, paths.price(study), *paths.find_external(results)]
    for dataset in plan.datasets:
        there.append(paths.dataset_record(results, dataset))
    for block in [*plan.blocks, *plan.parents]:
        run = paths.run_folder(results, block.folder)
        there += [
            run / name
            for name in (paths.CONFIG, paths.TRAINING, paths.HISTORY, paths.WEIGHTS)
        ]
    for block in plan.blocks:
        files = BlockFiles.at(results, block.folder, block.measured)
        there.append(paths.gap_images(results, block.dataset, block.measured))
        there += sorted(files.evaluation.glob("*.*"))
        pictures = files.evaluation / paths.PICTURES
        there += sorted(pictures.glob(f"seed-{block.seeds[0]}[.-]*"))
    yield from (path for path in dict.fromkeys(there) if path.is_file())


def _forget_folders(record: Path) -> None:
    """Name a file that a dataset came from a folder of this machine by itself."""
    if record.is_file():
        values = json.loads(record.read_bytes())
        values["source"] = {
            part: Path(where).name if Path(where).is_absolute() else where
            for part, where in values.get("source", {}).items()
        }
        write_text(record, json.dumps(values, indent=2))


def _made(results: Path, plan: Plan) -> dict[str, Any]:
    """With which versions of code and libraries, on what, and by when."""
    trained = [
        BlockFiles.at(results, block.folder, block.measured).training
        for block in plan.blocks
    ]
    dates = [each.finished_at for each in trained if each.finished_at]
    return {
        "commits": sorted({each.git_commit for each in trained}),
        "devices": sorted({each.device for each in trained}),
        "trained_by": max(dates).isoformat(timespec="seconds") if dates else None,
        "versions": trained[0].versions if trained else {},
    }


def _checksums(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file below `root` by its path there."""
    files = sorted(path for path in paths if path.is_file())
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in files}
