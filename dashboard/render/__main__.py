"""`python -m dashboard.render`: write the static site."""

import argparse
import sys
from pathlib import Path

from comvae.errors import ComvaeError
from comvae.results.paths import results_folder
from dashboard.render.figures import write_figures
from dashboard.render.site import build


def main() -> int:
    """Write the site; 0 also where some results could not be read, which it names."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard.render",
        description="Write the study's charts and tables as a folder of static HTML. "
        "It reads results/, or the folder in COMVAE_RESULTS.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the folder to write, replaced if it is such a site (default: site in "
        "the folder of results)",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        help="a folder for the main figures too, as <dataset>/<figure>.svg",
    )
    options, results = parser.parse_args(), results_folder()
    output = options.output or results / "site"
    try:
        problems = build(results, output)
        if options.figures is not None:
            write_figures(results, options.figures)
    except (ComvaeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    print(output / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
