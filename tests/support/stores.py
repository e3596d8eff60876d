"""Tables of a few rows in every database that datasets read, for tests that are the same for each."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fastnn.data import MongoDataset, RedisDataset, SQLDataset
from support.database import connect
from support.servers import mysql_url

KINDS = ["sqlite", "cursor", "duckdb", "arrow", "adbc", "psycopg", "mysql", "pymysql", "mongo", "hashes", "stream"]
SQL_KINDS = [kind for kind in KINDS if kind not in ("arrow", "mongo", "hashes", "stream")]


class Store:
    """A table "t" with a key "id", from 1 on. quote: of names. mark: of a parameter. is_sql: there are queries."""

    quote, mark, is_sql, has_infinity = '"', "?", True, True

    def quoted(self, name: str) -> str:
        return self.quote + name + self.quote

    def execute(self, sql: str) -> None:
        """Run a statement on another connection than the dataset's, where the database allows that, and commit."""
        raise NotImplementedError

    def source(self) -> Any:
        """What SQLDataset takes as con."""
        raise NotImplementedError

    def fill(self, **columns: list[Any]) -> None:
        """Put these values in place of what is there. None: nothing, whatever a missing value is there."""
        self.drop()
        names = ", ".join(f"{self.quoted(name)} {self.type_of(values)}" for name, values in columns.items())
        self.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {names})")
        self.add(1, **columns)

    def add(self, number: int, **columns: list[Any]) -> None:
        """Rows more, whose keys begin with this number."""
        rows = list(zip(*columns.values(), strict=True))
        for start in range(0, len(rows), 1000):
            values = ", ".join(
                f"({key}, {', '.join(map(self.literal, row))})"
                for key, row in enumerate(rows[start : start + 1000], number + start)
            )
            self.execute(f"INSERT INTO t VALUES {values}")

    def type_of(self, values: list[Any]) -> str:
        kinds = {type(value) for value in values} - {type(None)}
        return "BIGINT" if kinds == {int} else "TEXT" if kinds == {str} else "DOUBLE PRECISION"

    def literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return f"CAST('{value}' AS DOUBLE PRECISION)" if value in (float("inf"), -float("inf")) else repr(value)

    def drop(self) -> None:
        self.execute("DROP TABLE IF EXISTS t")

    def dataset(self, features: list[str] | None = None, target: str | None = None, **how: Any) -> Any:
        """All rows, in the order of their keys."""
        sql = how.pop("sql", "SELECT * FROM t ORDER BY id")
        return SQLDataset(sql, self.source(), target=target, features=features, key=how.pop("key", "id"), **how)

    def renew(self) -> None:
        """End a transaction that would go on seeing what was there."""

    def close(self) -> None:
        """Close the connections that are this one's."""


class SQLite(Store):
    def __init__(self, path: Path) -> None:
        self._path = path / "t.db"
        self.execute("PRAGMA journal_mode = WAL")

    def execute(self, sql: str) -> None:
        with contextlib.closing(connect(self._path)) as con, con:
            con.execute(sql)

    def source(self) -> Any:
        return self._path

    def type_of(self, values: list[Any]) -> str:
        return ""

    def literal(self, value: Any) -> str:
        if isinstance(value, bytes):  # of a text that is no UTF-8
            return f"CAST(x'{value.hex()}' AS TEXT)"
        return str(value).replace("inf", "9e999") if isinstance(value, float) else super().literal(value)


class Cursor(SQLite):
    """In an open transaction, where Python's cursor reads."""

    def __init__(self, path: Path) -> None:
        self._con: sqlite3.Connection | None = None
        super().__init__(path)

    def source(self) -> Any:
        if self._con is None:
            self._con = connect(self._path, isolation_level=None)
            self._con.execute("BEGIN")
        return self._con

    def execute(self, sql: str) -> None:
        self.renew()  # else it would be in the way, or go on seeing what was there
        super().execute(sql)
        self.renew()

    def renew(self) -> None:
        if self._con is not None:
            self._con.execute("COMMIT")
            self._con.execute("BEGIN")


class DuckDB(Store):
    def __init__(self, con: Any) -> None:
        self._con = con

    def execute(self, sql: str) -> None:
        with self._con.cursor() as cursor:
            cursor.execute(sql)

    def source(self) -> Any:
        return self._con


class Arrow(Store):
    """A table of pyarrow's, which gives a stream anew for each pass."""

    is_sql = False

    def __init__(self, pyarrow: Any) -> None:
        self._pyarrow, self.table = pyarrow, None

    def fill(self, **columns: list[Any]) -> None:
        count = len(next(iter(columns.values())))
        self.table = self._pyarrow.table({"id": list(range(1, count + 1)), **columns})

    def dataset(self, features: list[str] | None = None, target: str | None = None, **how: Any) -> Any:
        return SQLDataset(None, lambda: self.table, target=target, features=features, key=how.pop("key", "id"), **how)


class Postgres(Store):
    def __init__(self, con: Any, source: Any) -> None:
        self._con, self._source = con, source
        self.mark = "$1" if isinstance(source, str) else "%s"

    def execute(self, sql: str) -> None:
        self._con.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._con.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def source(self) -> Any:
        return self._source

    def close(self) -> None:
        self._con.close()
        if not isinstance(self._source, str):
            self._source.close()


class MySQL(Postgres):
    quote, has_infinity = "`", False

    def __init__(self, con: Any, source: Any) -> None:
        super().__init__(con, source)
        self.mark = "%s"

    def execute(self, sql: str) -> None:
        with self._con.cursor() as cursor:
            cursor.execute(sql)

    def others(self) -> list[int]:
        """The numbers of the other connections to this database."""
        [(own,)] = self.rows("SELECT CONNECTION_ID()")
        sql = "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
        return [number for (number,) in self.rows(sql) if number != own]


class Mongo(Store):
    is_sql = False

    def __init__(self, database: Any) -> None:
        self.database = database

    def drop(self) -> None:
        self.database.t.drop()

    def fill(self, **columns: list[Any]) -> None:
        self.drop()
        self.add(1, **columns)

    def add(self, number: int, **columns: list[Any]) -> None:
        rows = zip(*columns.values(), strict=True)
        documents = [{"_id": key, **dict(zip(columns, row, strict=True))} for key, row in enumerate(rows, number)]
        if documents:
            self.database.t.insert_many(documents)

    def dataset(self, features: list[str] | None = None, target: str | None = None, **how: Any) -> Any:
        return MongoDataset(self.database.t, fields=features, target=target, **how)


class Redis(Store):
    """Numbers as texts, what is None as no field."""

    is_sql = False

    def __init__(self, client: Any, layout: str) -> None:
        self._client, self._layout = client, layout
        self._columns: list[str] = []

    def drop(self) -> None:
        self._client.flushdb()

    def fill(self, **columns: list[Any]) -> None:
        self.drop()
        self.add(1, **columns)

    def add(self, number: int, **columns: list[Any]) -> None:
        self._columns = [*columns]
        pipeline = self._client.pipeline(transaction=False)
        for key, row in enumerate(zip(*columns.values(), strict=True), number):
            there = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
            fields = {"number": key, **there}
            if self._layout == "stream":
                pipeline.xadd("t", fields)
            else:
                pipeline.hset(f"t:{key:09d}", mapping=fields)
        pipeline.execute()

    def dataset(self, features: list[str] | None = None, target: str | None = None, **how: Any) -> Any:
        keys = "t" if self._layout == "stream" else "t:*"
        how.setdefault("columns", [*features, *([target] if target else [])] if features else self._columns)
        how = {"layout": self._layout, **how}
        return RedisDataset(self._client, keys, target, features=features, **how)


def store_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    """A store of a kind, whose server or package is there; the test is skipped otherwise."""
    if kind == "sqlite":
        return SQLite(folder)
    if kind == "cursor":
        return Cursor(folder)
    if kind == "duckdb":
        duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
        return DuckDB(duckdb.connect())
    if kind == "arrow":
        return Arrow(pytest.importorskip("pyarrow", reason="pip install pyarrow"))
    if kind in ("adbc", "psycopg"):
        psycopg = pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
        if kind == "adbc":
            pytest.importorskip("adbc_driver_postgresql", reason='pip install "fastnn[postgres]"')
        url = request.getfixturevalue("postgres")
        con = psycopg.connect(url, autocommit=True)
        return Postgres(con, url if kind == "adbc" else psycopg.connect(url, autocommit=True))
    if kind in ("mysql", "pymysql"):
        pymysql = pytest.importorskip("pymysql", reason="MariaDB's driver: pip install PyMySQL")
        options = request.getfixturevalue("mariadb")
        con = pymysql.connect(**options, autocommit=True)
        return MySQL(con, mysql_url(options) if kind == "mysql" else pymysql.connect(**options, autocommit=True))
    if kind == "mongo":
        return Mongo(request.getfixturevalue("mongodb"))
    return Redis(request.getfixturevalue("redis"), kind)
