"""Run snakemake with the given arguments, in UTF-8 and with a cache it can write to.

The study is read first: of a file that is missing or broken, Snakemake would show a
traceback, or a message that does not name it.
"""

import argparse
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from comvae.errors import ComvaeError  # noqa: E402
from comvae.files import check_writable  # noqa: E402
from comvae.study.loading import load_study  # noqa: E402
from comvae.study.yaml_files import read_yaml  # noqa: E402


def check_study(arguments: list[str]) -> None:
    """Raise SettingsError where a study that `arguments` name cannot be run.

    Of several files, or with settings on the command line, Snakemake makes one study;
    here each of them is only read.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*")
    named, _ = parser.parse_known_args(arguments)
    for path in named.configfile:
        read_yaml(path)
    if len(named.configfile) == 1 and not named.config:
        models = REPOSITORY / "config" / "models.yaml"
        load_study(source=named.configfile[0], models=models)


def main() -> None:
    """Become snakemake."""
    try:
        check_study(sys.argv[1:])
        check_writable(Path(".snakemake"), Path("results"), Path("logs"))
    except ComvaeError as error:
        sys.exit(f"Error: {error}")
    snakemake = [sys.executable, "-m", "snakemake"]
    os.environ["PYTHONUTF8"] = "1"
    try:
        Path("~/.cache/snakemake").expanduser().mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or none to write to
        os.environ.setdefault("XDG_CACHE_HOME", str(Path(".snakemake/cache").resolve()))
    os.execv(snakemake[0], [*snakemake, *sys.argv[1:]])


main()
