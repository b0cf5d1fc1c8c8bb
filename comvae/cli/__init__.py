"""The command line, `comvae` and `python -m comvae`."""

from comvae.cli import stages, chores  # isort: skip; their order is that of the help
from comvae.cli.command import app, main

__all__ = ["app", "chores", "main", "stages"]
