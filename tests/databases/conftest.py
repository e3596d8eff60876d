"""Servers that run as long as the tests, and a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import servers


@pytest.fixture
def postgres(postgres_server: Any) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with servers.postgres_database(postgres_server) as url:
        yield url


@pytest.fixture
def mariadb(mariadb_server: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What `pymysql.connect` takes for an empty MariaDB database."""
    with servers.mariadb_database(mariadb_server) as options:
        yield options


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    with servers.mongodb_server() as url:
        yield url


@pytest.fixture
def mongodb(mongodb_url: str) -> Iterator[Any]:
    """An empty MongoDB database, pymongo's."""
    with servers.mongodb_database(mongodb_url) as database:
        yield database


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis_server() as (url, _):
        yield url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    """A client of an empty Redis."""
    import redis

    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    yield client
    client.close()
