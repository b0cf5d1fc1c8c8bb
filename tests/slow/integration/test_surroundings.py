"""A study in folders with odd names, of other owners, and beside another study."""

import os
import sys
from pathlib import Path

import pytest

from tests.slow.support import (
    copy_repository,
    make_study,
    run,
    study_command,
    table,
    write_study,
)

STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["vanilla"],
    "seeds": 1,
    "training": {"epochs": 1, "hidden": 4, "latent": 2},
    "evaluation": {"samples": 1},
    "gap": {"images": 0},
}


@pytest.mark.parametrize("name", ["what?", "{x}", "a b", "100%"])
def test_the_name_of_the_folder_does_not_matter(tmp_path: Path, name: str):
    folder = copy_repository(tmp_path / name)
    study = write_study(folder, STUDY)
    done = make_study(folder, study, code=folder)
    assert done.returncode == 0, done.stdout
    imported = folder / "results" / "mlflow" / "imported.txt"
    assert "1 imported" in imported.read_text()
    assert len(table(folder, "cells")) == 1
    for command in ("comvae tables", "comvae report", "comvae track"):
        again = run([sys.executable, "-m", *command.split()], folder)
        assert again.returncode == 0, again.stdout
    site = make_study(folder, study, "--", "site", code=folder)
    assert site.returncode == 0, site.stdout
    assert (folder / "results" / "site" / "index.html").exists()


ANOTHER = [  # root without its privileges, as any other user
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]
NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize("foreign", [".", "results"])
def test_a_folder_of_another_user_is_one_message(tmp_path: Path, foreign: str):
    folder = copy_repository(tmp_path / "project")
    study = write_study(folder, STUDY)
    for name in (foreign, "results"):
        os.chown(folder / name, NOBODY, NOBODY)
        (folder / name).chmod(0o755)
    for command in (
        study_command(study, code=folder),
        [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", str(study)],
        [sys.executable, "-m", "comvae", "configure", str(study)],
    ):
        done = run([*ANOTHER, *command], folder)
        assert done.returncode == 1 and "Traceback" not in done.stdout, done.stdout
        assert str(folder) in done.stdout or "results/" in done.stdout, done.stdout
        assert "writable" in done.stdout or "Permission denied" in done.stdout
        assert len(done.stdout.splitlines()) < 10, done.stdout
