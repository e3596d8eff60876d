"""What all tests share. Being here, it also makes ``tests`` importable whichever of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import fastnn
from support import servers
from support.database import close_all


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test draws the same numbers each time."""
    fastnn.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Rows that a test keeps on disk are its own, and not among the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTNN_CACHE", str(tmp_path_factory.mktemp("rows")))
        yield


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a connection to another."""
    yield
    close_all()


# Servers run as long as the tests, one of a kind for all of them.


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[dict[str, Any]]:
    with servers.mariadb_server() as options:
        yield options
