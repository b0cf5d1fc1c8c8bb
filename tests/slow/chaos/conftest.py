from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.chaos.blocks import finish
from tests.slow.chaos.commands import Comvae
from tests.slow.forks import forking

MODEL = "vanilla"


@pytest.fixture(scope="session")
def comvae(tmp_path_factory) -> Iterator[Comvae]:
    """The command line, without the seconds that its start takes."""
    with forking(tmp_path_factory.mktemp("forks")) as python:
        yield Comvae(python)


@pytest.fixture(scope="session")
def finished(comvae: Comvae, tmp_path_factory) -> Path:
    """A folder in which every stage but MLflow has run for one model; to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    finish(comvae, folder, MODEL)
    return folder
