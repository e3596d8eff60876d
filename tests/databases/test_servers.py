"""The servers that other tests have run, each test has a database of its own, and the driver's words are its own."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from support.servers import mysql_url


@pytest.mark.parametrize("_again", [1, 2])
def test_a_postgresql_is_there_and_empty(postgres: str, _again: int) -> None:
    psycopg = pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE t (a integer)")  # in vain, were it the same database twice
        connection.execute("INSERT INTO t VALUES (3)")
        assert connection.execute("SELECT a FROM t").fetchall() == [(3,)]


@pytest.mark.parametrize("_again", [1, 2])
def test_a_mariadb_is_there_and_empty(mariadb: dict[str, Any], _again: int) -> None:
    import pymysql

    with contextlib.closing(pymysql.connect(**mariadb)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a integer)")
        cursor.execute("INSERT INTO t VALUES (3)")
        cursor.execute("SELECT a FROM t")
        assert cursor.fetchall() == ((3,),)
    assert mysql_url(mariadb).startswith("mysql://fastnn:s3cret%40%2F%3A@127.0.0.1:")
