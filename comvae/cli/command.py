"""What all commands share: their common options, and how an error ends them."""

import errno
import gc
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from comvae.errors import (
    ComvaeError,
    StoppedError,
    system_message,
)
from comvae.study.signals import EXIT_STATUS

log = logging.getLogger("comvae")

app = typer.Typer(
    help="The Compound VAE study, stage by stage. Snakemake calls these commands; "
    "each of them also works alone. Files are explained in results/README.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Results = Annotated[
    Path, typer.Option(help="Folder that holds all results.", file_okay=False)
]
Study = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="The study, by name or by its file. Default: the last one planned.",
    ),
]
Models = Annotated[Path, typer.Option(help="The file with the models' options.")]


def read_plan(results: Path, study: str | None) -> Any:
    """The plan of the study that the options name; raises ResultsError."""
    from comvae.study.plan import Plan
    from comvae.study.yaml_files import read_yaml

    if study and study.endswith((".yaml", ".yml")):
        study = str(read_yaml(Path(study)).get("study"))
    return Plan.read(results, study)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A subcommand whose own errors are one message and exit status 1."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        from comvae.engine.progress import start_logging

        start_logging()
        try:
            function(*args, **options)
        except StoppedError as stopped:
            print(stopped, file=sys.stderr)
            raise typer.Exit(EXIT_STATUS) from None
        except ComvaeError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever reads the output has seen enough, as `head` does
            print(f"Error: {system_message(error)}", file=sys.stderr)
            raise typer.Exit(1) from None

    return app.command()(run)


def main() -> None:
    """Entry point of `python -m comvae` and `comvae`."""
    # What torch and pandas make when they are imported stays: to look for garbage in it
    # again and again, and once more at exit, is a third of the time of a short command.
    gc.set_threshold(200_000)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # in any locale, as all files are
    try:
        app()
    finally:
        gc.freeze()
