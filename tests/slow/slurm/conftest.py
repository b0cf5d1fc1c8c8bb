"""One Slurm cluster for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.slow.slurm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with two fake GPUs."""
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.stop()
