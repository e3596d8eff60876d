"""Tables of predictions in PostgreSQL, MariaDB or MySQL, and DuckDB, and what connects to these."""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .mongo import is_mongo
from .reader import Text
from .server_table import ServerTable, whole_rows
from .urls import ServerURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from .layout import Layout
    from .mongo_table import MongoTable
    from .staged import Staged

__all__ = ["server_connected", "server_table"]


class PostgresTable(ServerTable):
    """By psycopg 3: COPY into the new table, or into a temporary one and an upsert from there."""

    server, mark = "PostgreSQL", "%s"
    types: ClassVar = {
        "INTEGER": "INTEGER",
        "REAL": "DOUBLE PRECISION",
        "TEXT": "TEXT",
        "key integer": "BIGINT",
        "key real": "DOUBLE PRECISION",
        "key text": "TEXT",
        "key blob": "BYTEA",
    }
    temporary = "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WHERE false"

    def _connection_errors(self) -> type[Exception]:
        import psycopg

        return psycopg.Error  # type: ignore[no-any-return]

    def _cursor(self) -> Any:
        from psycopg.rows import tuple_row

        return self._connection.cursor(row_factory=tuple_row)

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            # Without values a per cent sign is one.
            cursor.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def look(self, layout: Layout) -> None:
        with self._explained(), self.transaction():  # which is not left open
            self._check(layout)

    def transaction(self) -> AbstractContextManager[Any]:
        return self._connection.transaction()  # type: ignore[no-any-return]

    def place(self) -> tuple[str, ...]:
        about = self._connection.info
        return str(about.host), str(about.port), about.dbname

    def insert(self, table: str, staged: Staged) -> None:
        with self._cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
            for row in whole_rows(staged):
                copy.write_row(row)


class MySQLTable(ServerTable):
    """By PyMySQL. MariaDB and MySQL commit with each CREATE TABLE, so a transaction of the user's is refused."""

    server, mark, quote, at = "the server", "%s", "`", "DATETIME"
    types: ClassVar = {
        "INTEGER": "INTEGER",
        "REAL": "DOUBLE",
        "TEXT": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "key integer": "BIGINT",
        "key real": "DOUBLE",
        "key text": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "key blob": "VARBINARY(255)",
    }
    columns = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = {} "
        "ORDER BY ordinal_position"
    )

    def _connection_errors(self) -> type[Exception]:
        import pymysql

        return pymysql.Error  # type: ignore[no-any-return]

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        from pymysql.cursors import Cursor

        with self._connection.cursor(Cursor) as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def look(self, layout: Layout) -> None:
        with self._explained():
            self.execute("DO 0")  # what has no rows tells the state
            if self._connection.server_status & 1:
                raise ValueError("commit first: a transaction is open, which CREATE TABLE would end")
            self._check(layout)
            self._end()  # of what the look has begun

    def _end(self) -> None:
        if not self._connection.get_autocommit():
            self.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            if self.execute("SELECT GET_LOCK(%s, 60)", self._new) != [(1,)]:
                raise ValueError(f"another process writes the table {self._into!r}")
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(self._connection_errors()):
                self.execute("ROLLBACK")
                self.execute(f"DROP TABLE IF EXISTS {self._new}")
            raise
        finally:
            with suppress(self._connection_errors()):
                self.execute("DO RELEASE_LOCK(%s)", self._new)

    def place(self) -> tuple[str, ...]:
        [found] = self.execute("SELECT @@hostname, @@port, DATABASE()")
        return tuple(map(str, found))

    def insert(self, table: str, staged: Staged) -> None:
        from pymysql.cursors import Cursor

        names = ", ".join(map(self.quoted, staged.layout.names)).replace("%", "%%")
        marks = ", ".join(["%s"] * len(staged.layout.names))
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        rows, at = [], staged.run.at.rstrip("Z").replace("T", " ")
        self.execute("START TRANSACTION")
        with self._connection.cursor(Cursor) as cursor:
            for row in whole_rows(staged):
                rows.append((*row[:-1], at))
                if len(rows) == 5000:
                    cursor.executemany(sql, rows)
                    rows = []
            if rows:
                cursor.executemany(sql, rows)

    def upsert(self, names: Sequence[str], key: str) -> str:
        return "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in names if name != key)

    def take_place(self, found: bool) -> None:
        self.execute("COMMIT")
        old = self.quoted(f"fastnn {self._digest(self._into, 'old')}")
        if found:  # in one step, of which nobody sees half
            self.execute(f"DROP TABLE IF EXISTS {old}")
            self.execute(f"RENAME TABLE {self._table} TO {old}, {self._new} TO {self._table}")
            self.execute(f"DROP TABLE {old}")
        else:
            self.execute(f"RENAME TABLE {self._new} TO {self._table}")


class DuckDBTable(ServerTable):
    """By DuckDB's own module: arrays of NumPy's, which it reads as a table."""

    server, mark = "DuckDB", "?"
    types: ClassVar = {
        "INTEGER": "INTEGER",
        "REAL": "DOUBLE",
        "TEXT": "VARCHAR",
        "key integer": "BIGINT",
        "key real": "DOUBLE",
        "key text": "VARCHAR",
        "key blob": "BLOB",
    }

    def _connection_errors(self) -> type[Exception]:
        import duckdb

        return duckdb.Error  # type: ignore[no-any-return]

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, list(values)).fetchall()  # type: ignore[no-any-return]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        number = "SELECT txid_current()"
        if self.execute(number) == self.execute(number):  # the user's transaction, which there is no savepoint in
            yield
            return
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self.execute("ROLLBACK")
            raise

    def place(self) -> tuple[str, ...]:
        [(path,)] = self.execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
        return (str(path),)

    def beside(self) -> str | None:
        return super().beside() if self.place() != ("None",) else None  # in memory

    def insert(self, table: str, staged: Staged) -> None:
        names = [f"c{number}" for number in range(1 + len(staged.layout.predicted))]
        sql = f"INSERT INTO {table} SELECT {', '.join(names)}, ?, ?, ?::TIMESTAMPTZ FROM fastnn_rows"
        for keys, columns in staged.batches():
            if any(type(key) is Text for key in keys):
                raise ValueError("a key is no UTF-8, which the database's texts are; leave such rows out")
            numbers = np.array(keys)
            if numbers.dtype.kind not in "if":
                numbers = np.empty(len(keys), object)
                numbers[:] = keys
            self._connection.register("fastnn_rows", dict(zip(names, [numbers, *map(np.array, columns)], strict=True)))
            try:
                self.execute(sql, *staged.run)
            finally:
                self._connection.unregister("fastnn_rows")


_BY_MODULE = {"psycopg": PostgresTable, "pymysql": MySQLTable, "duckdb": DuckDBTable, "_duckdb": DuckDBTable}
_BY_DIALECT = {
    "postgresql": PostgresTable,
    "postgres": PostgresTable,
    "mysql": MySQLTable,
    "mariadb": MySQLTable,
    "duckdb": DuckDBTable,
}


def server_table(to: object) -> type[ServerTable | MongoTable] | None:
    """What writes to this URL or open connection; None where it is none of a server that is known."""
    if is_mongo(to):
        from .mongo_table import MongoTable

        return MongoTable
    if isinstance(to, str):
        return _BY_DIALECT.get(re.split(r"\+|://", to)[0]) if "://" in to else None
    for each in type(to).__mro__:
        found = _BY_MODULE.get(each.__module__.partition(".")[0])
        if found is not None:
            return found
    return None


@contextmanager
def server_connected(to: Any) -> Iterator[Any]:
    """Open a URL, and close it afterwards; a connection is lent as it is, and kept.

    ConnectionError, without a password, where there is no server; ImportError for a driver that is missing.
    """
    if not isinstance(to, str) or is_mongo(to):
        yield to
        return
    url, kind = ServerURL(to), server_table(to)
    try:
        if kind is PostgresTable:
            import psycopg

            connect: Any = partial(psycopg.connect, url.of("postgresql"), autocommit=True)
        elif kind is MySQLTable:
            import pymysql

            connect = partial(pymysql.connect, charset="utf8mb4", autocommit=True, **url.parts())
        else:
            import duckdb

            path = to.partition("://")[2][1:]
            if not os.path.exists(path):
                raise FileNotFoundError(f"there is no database file {os.path.abspath(path)!r}; check the path")
            connect = partial(duckdb.connect, path)
    except ImportError as error:
        extra = {PostgresTable: "postgres", MySQLTable: "mysql"}.get(kind, "duckdb")  # type: ignore[arg-type]
        raise ImportError(f'{url} is written by {error.name}: pip install "fastnn[{extra}]"') from error
    try:
        connection = connect()
    except Exception as error:
        # Without the error itself, whose words may have the password.
        raise ConnectionError(f"cannot connect to {url}; the driver says: {url.hidden(str(error))}") from None
    with closing(connection):
        yield connection
