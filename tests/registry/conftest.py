"""A registry in each of the databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import servers
from support.registries import KINDS, Place, mariadb_place, postgres_place, sqlite_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database."""
    if request.param == "sqlite":
        yield sqlite_place(tmp_path)
    elif request.param in ("postgres", "adbc"):
        pytest.importorskip("psycopg", reason='PostgreSQL\'s driver: pip install "psycopg[binary]"')
        with servers.postgres_database(request.getfixturevalue("postgres_server")) as url:
            yield postgres_place(url)
    else:
        with servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options:
            yield mariadb_place(options)
