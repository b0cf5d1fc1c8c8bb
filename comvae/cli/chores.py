"""What is done to a study beside its stages: results taken over, added, forgotten and
shown, and the project's own upkeep."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from comvae.cli.command import Models, Results, Study, command, read_plan
from comvae.errors import SettingsError


@command
def adopt(
    folder: Annotated[
        Path, typer.Argument(help="A folder of results, or of blocks, from elsewhere.")
    ],
    results: Results = Path("results"),
) -> None:
    """Take finished blocks over: of an older layout, or of another machine.

    Their weights, history and record are checked, and linked or copied; they are
    evaluated again.
    """
    from comvae.results.adopting import adopt as adopt_blocks

    for block in adopt_blocks(folder, results):
        print(block)


@command
def forget(
    unused: Annotated[
        bool,
        typer.Option("--unused", help="What no study below --studies names."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, it is only listed.")
    ] = False,
    studies: Annotated[
        list[Path] | None,
        typer.Option(help="Study files, or folders of them. Default: config."),
    ] = None,
    models: Models = Path("config/models.yaml"),
    results: Results = Path("results"),
) -> None:
    """List results that no study names any more, or remove them.

    What the plan in the folder of results names is kept too, and what is in training.
    """
    from comvae.results.forgetting import study_files
    from comvae.results.forgetting import unused as find_unused

    if not unused:
        raise SettingsError("forget: found no choice of what, expected `--unused`")
    found = find_unused(
        results, study_files(studies or [Path("config")], models), models
    )
    for each in found:
        print(f"{each.size / 1e6:.1f} MB", *each.folders)
        if yes:
            each.remove()
    total = f"{sum(each.size for each in found) / 1e6:.1f} MB"
    if not found:
        said = "nothing is unused"
    elif yes:
        said = f"{total} removed"
    else:
        said = f"{total} could be removed: the same command with --yes"
    print(said, file=sys.stderr)


@command
def add_result(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.csv", help="Columns: results/README.md."),
    ],
    models: Models = Path("config/models.yaml"),
    results: Results = Path("results"),
) -> None:
    """Put results of another's model beside ours in the tables; again changes nothing.

    `comvae tables` then shows them. Without the printed file they are gone again.
    """
    from comvae.results.external import add_external
    from comvae.study.loading import load_models

    print(add_external(file, results, load_models(models)))


@command
def publish(
    target: Annotated[
        Path | None,
        typer.Option(help="The folder. Default: results/published/<study>."),
    ] = None,
    results: Results = Path("results"),
    study: Study = None,
) -> None:
    """Write a finished study as a folder of small files that others open and check.

    It is a folder of results: `comvae dashboard --results FOLDER` shows it, and `comvae
    tables --results FOLDER` makes its tables again.
    """
    from comvae.results.paths import PUBLISHED
    from comvae.results.publishing import publish as write

    plan = read_plan(results, study)
    target = target or results / PUBLISHED / plan.study
    for path in write(results, plan, target):
        print(f"left out: {path}", file=sys.stderr)
    print(target)


@command
def crate(
    folder: Annotated[
        Path, typer.Argument(help="A published study, as `comvae publish` writes it.")
    ],
) -> None:
    """Describe a published study as a Workflow Run RO-Crate, in its folder."""
    from comvae.results.crate import write_crate

    print(write_crate(folder, Path(__file__).resolve().parents[2]))


@command
def cite() -> None:
    """Print how to cite the paper and this study, as BibTeX."""
    from comvae.study.citing import FILE, citation

    print(citation() or f"{FILE}: found no citation there")


@command
def gap_selftest() -> None:
    """Check the gap estimators against models with known answers."""
    from comvae.evaluation.gap import selftest

    if not selftest.run():
        raise typer.Exit(1)


@command
def dashboard(
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds all results. Default: COMVAE_RESULTS, or results.",
            file_okay=False,
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS OF STREAMLIT]",
            help="Such as --server.port 8502; its other settings are those of "
            ".streamlit/config.toml beside the code.",
        ),
    ] = None,
) -> None:
    """Compare variants in the browser, which this machine alone can reach."""
    from comvae.results.paths import results_folder

    code = Path(__file__).resolve().parents[2]
    script = code / "dashboard" / "script" / "app.py"
    if not script.is_file():
        raise SettingsError(
            f"{script}: found no dashboard there; it is part of the repository: "
            "install it with `pip install -e .`"
        )
    os.environ["COMVAE_RESULTS"] = str((results or results_folder()).resolve())
    os.chdir(code)  # Streamlit reads its settings from where it starts
    streamlit = [sys.executable, "-m", "streamlit", "run", str(script)]
    os.execv(sys.executable, [*streamlit, *(options or [])])


@command
def schemas(
    root: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path(),
) -> None:
    """Write JSON schemas and documentation from the classes and the commands."""
    from comvae.cli.reference import PAGE, reference_page
    from comvae.files import write_text
    from comvae.schemas import write_schemas

    write_schemas(root)
    write_text(root / PAGE, reference_page())
