"""A `python` whose processes start without importing anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.forks import forking


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with forking(tmp_path_factory.mktemp("forks")) as python:
        yield python
