"""A published study as a Workflow Run RO-Crate: what ran, with what, and what it made.

Profile: https://w3id.org/ro/wfrun/workflow/0.5.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from comvae.errors import ResultsError, SettingsError
from comvae.results.datasheet import README
from comvae.results.publishing import MANIFEST
from comvae.study.plan import PLAN, Plan

CRATE = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
LICENSE = "https://spdx.org/licenses/MIT"
PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
KINDS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
}


def write_crate(folder: Path, code: Path) -> Path:
    """Write ro-crate-metadata.json into the folder of a published study, and a copy of
    the workflow that made it, from the repository `code`.

    It names tables, report and records one by one, runs and evaluations as folders;
    the SHA-256 of every file stands in the manifest. Again it writes the same.

    Raises ResultsError where the folder is no published study, and SettingsError where
    the library or the workflow is not at hand.
    """
    try:
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise SettingsError(
            "crate: found no library `rocrate`; install it: pip install 'comvae[crate]'"
        ) from None
    workflow = code / "workflow" / WORKFLOW
    if not workflow.is_file():
        raise SettingsError(
            f"{workflow}: found no workflow there; it is part of the repository: "
            "install it with `pip install -e .`"
        )
    manifest, plan = _manifest(folder), Plan.read(folder)
    shutil.copyfile(workflow, folder / WORKFLOW)

    crate = ROCrate(version="1.1")
    crate.name = f"The study {plan.study} of the Compound VAE"
    crate.description = (
        f"{len(plan.models)} models trained and evaluated on "
        f"{', '.join(plan.datasets)}: tables, gaps image by image, histories, weights "
        f"of one seed where small. {README} says what it is, how it was made, and its "
        "limits."
    )
    crate.license = crate.add(
        ContextEntity(
            crate, LICENSE, properties={"@type": "CreativeWork", "name": "MIT License"}
        )
    )
    crate.root_dataset["datePublished"] = manifest["published_at"]
    group = {"@type": "Organization", "name": "The ComVAE study authors"}
    authors = crate.add(ContextEntity(crate, "#authors", properties=group))
    crate.root_dataset["author"] = crate.publisher = authors
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, url, properties={"@type": "CreativeWork"}))
        for url in PROFILES
    ]
    main = crate.add_workflow(
        folder / WORKFLOW, WORKFLOW, main=True, lang="snakemake", lang_version=">=9.27"
    )
    main["name"] = "The workflow of the ComVAE study, its main file"
    main["version"] = ", ".join(manifest["commits"])
    main["license"] = crate.license
    main["encodingFormat"] = "text/plain"

    def add(path: Path) -> Any:
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            return crate.add_directory(path, f"{name}/", properties={"name": name})
        facts = {"name": name, "contentSize": str(path.stat().st_size)}
        if path.suffix in KINDS:
            facts["encodingFormat"] = KINDS[path.suffix]
        return crate.add_file(path, name, properties=facts)

    study = plan.folder(folder)
    about = [add(folder / README), add(folder / MANIFEST)]
    about[0]["about"] = crate.root_dataset
    read = [add(study / PLAN), *map(add, sorted(folder.glob("datasets/*/*.json")))]
    made = [*sorted(study.glob("tables/*.csv")), *sorted(study.glob("report/*.md"))]
    made += [folder / "runs", folder / "evaluations"]
    crate.root_dataset["mentions"] = crate.add(
        ContextEntity(
            crate,
            f"#run-{plan.study}",
            properties={
                "@type": "CreateAction",
                "name": f"The run of the study {plan.study}",
                "endTime": manifest["trained_by"],
                "instrument": main,
                "object": read,
                "result": [*map(add, made)],
                "subjectOf": about,
                "agent": authors,
                "description": f"On {', '.join(manifest['devices'])}, with "
                + ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
            },
        )
    )
    crate.metadata.write(folder)
    return folder / CRATE


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{folder / MANIFEST}: found no readable manifest ({error}), expected the "
            "folder of a published study, as `comvae publish` writes it"
        ) from None
