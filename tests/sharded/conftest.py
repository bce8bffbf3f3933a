"""Two processes for all tests of this folder, and four for the few that ask."""

from collections.abc import Iterator

import pytest

from tests.sharded.processes import Processes


def _started(size: int, factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(size, factory.mktemp("stores"))
    yield processes
    processes.stop()


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    yield from _started(2, tmp_path_factory)


@pytest.fixture(scope="package")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    yield from _started(4, tmp_path_factory)
