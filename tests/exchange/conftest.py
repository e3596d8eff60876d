"""Servers that run as long as the tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import servers


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[dict[str, Any]]:
    with servers.mariadb_server() as options:
        yield options
