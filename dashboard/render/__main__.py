"""`python -m dashboard.render`: write the static site."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from comvae.cli.command import Study, read_plan
from comvae.errors import ComvaeError
from comvae.results.paths import results_folder
from dashboard.render.site import build
from dashboard.study import load_study

OUTPUT = "The folder to write, replaced if it is such a site."
FIGURES = "A folder for the main figures too, as <dataset>/<figure>.svg."


def main(
    output: Annotated[
        Path | None, typer.Option(help=OUTPUT, show_default="site beside its tables")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help=FIGURES)] = None,
    study: Study = None,
) -> None:
    """Write the study's charts and tables as a folder of static HTML.

    It reads results/, or the folder in COMVAE_RESULTS, and names what it cannot read.
    """
    results = results_folder()
    try:
        name = read_plan(results, study).study if study else None
        shown = load_study(results, name)
        output = output or shown.folder / "site"
        problems = build(shown, output, figures)
    except (ComvaeError, OSError) as error:
        sys.exit(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(output / "index.html")


if __name__ == "__main__":
    typer.run(main)
