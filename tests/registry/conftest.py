"""A registry in each of the databases; the servers run as long as the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import servers
from support.registries import KINDS, Place, mariadb_place, postgres_place, sqlite_place


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    pytest.importorskip("psycopg", reason='PostgreSQL\'s driver: pip install "psycopg[binary]"')
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[dict[str, Any]]:
    with servers.mariadb_server() as options:
        yield options


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database."""
    if request.param == "sqlite":
        yield sqlite_place(tmp_path)
    elif request.param in ("postgres", "adbc"):
        with servers.postgres_database(request.getfixturevalue("postgres_server")) as url:
            yield postgres_place(url)
    else:
        with servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options:
            yield mariadb_place(options)
