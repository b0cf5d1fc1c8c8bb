"""A study in folders with odd names, and in some that may not be written to."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.support import (
    TINY,
    copy_repository,
    make_study,
    run,
    study_command,
    table,
    write_study,
)
from tests.support import study_in


@pytest.mark.parametrize("name", ["what?", "{x}", "a b", "100%"])
def test_the_name_of_the_folder_does_not_matter(tmp_path: Path, name: str):
    folder = copy_repository(tmp_path / name)
    study = write_study(folder, TINY)
    done = make_study(folder, study, code=folder)
    assert done.returncode == 0, done.stdout
    imported = folder / "results" / "mlflow" / "imported" / "tiny.txt"
    assert "1 imported" in imported.read_text()
    assert len(table(folder, "cells")) == 1
    for command in ("comvae tables", "comvae report", "comvae track"):
        again = run([sys.executable, "-m", *command.split()], folder)
        assert again.returncode == 0, again.stdout
    site = make_study(folder, study, "--", "site", code=folder)
    assert site.returncode == 0, site.stdout
    assert (study_in(folder / "results") / "site" / "index.html").exists()


# root without its privileges, so that modes count for it as for any other user
AS_ANOTHER = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


@pytest.fixture(params=["whole", "results alone"])
def forbidden(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A project that may only be read, or whose results may only be read."""
    folder = copy_repository(tmp_path / "project")
    folders = [folder / "results"]
    if request.param == "whole":
        folders.append(folder)
    for each in folders:
        each.chmod(0o555)
    yield folder
    for each in folders:
        each.chmod(0o755)


def test_a_folder_that_may_only_be_read_is_one_message(tmp_path: Path, forbidden: Path):
    study = write_study(tmp_path, TINY)
    for command in (
        study_command(study, code=forbidden),
        [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", str(study)],
        [sys.executable, "-m", "comvae", "configure", str(study)],
    ):
        as_another = AS_ANOTHER if os.geteuid() == 0 else []
        done = run([*as_another, *command], forbidden)
        assert done.returncode == 1 and "Traceback" not in done.stdout, done.stdout
        assert str(forbidden) in done.stdout or "results/" in done.stdout, done.stdout
        assert "writable" in done.stdout or "Permission denied" in done.stdout
        assert len(done.stdout.splitlines()) < 10, done.stdout
