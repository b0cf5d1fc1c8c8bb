"""`python -m dashboard.render`: write the static site."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from comvae.errors import ComvaeError
from comvae.results.paths import results_folder
from dashboard.render.site import build

OUTPUT = "The folder to write, replaced if it is such a site."
FIGURES = "A folder for the main figures too, as <dataset>/<figure>.svg."


def main(
    output: Annotated[
        Path | None, typer.Option(help=OUTPUT, show_default="site below the results")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help=FIGURES)] = None,
) -> None:
    """Write the study's charts and tables as a folder of static HTML.

    It reads results/, or the folder in COMVAE_RESULTS, and names what it cannot read.
    """
    results = results_folder()
    output = output or results / "site"
    try:
        problems = build(results, output, figures)
    except (ComvaeError, OSError) as error:
        sys.exit(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(output / "index.html")


if __name__ == "__main__":
    typer.run(main)
