"""Tables of predictions in PostgreSQL, MariaDB or MySQL, and DuckDB."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .cache import cache_folder
from .layout import are_predictions
from .reader import Text, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from .layout import Layout
    from .staged import Staged

__all__ = ["ServerTable", "server_table"]


class ServerTable(ABC):
    """The table `into` of the schema or database that an open connection is in: as ``SQLiteTable``.

    The new table is filled under another name, which nobody sees or waits for, and takes its place at the end.
    """

    encoding = "UTF-8"  # of what is staged
    server: str
    mark: str  # for a value
    types: ClassVar[dict[str, str]]  # of columns, by SQLite's names
    at = "TIMESTAMPTZ"
    quote = '"'

    def __init__(self, connection: Any, into: str, mode: str) -> None:
        self._connection, self._into, self._mode = connection, into, mode
        self._table, self._new = self.quoted(into), self.quoted(f"fastnn {self._digest(into)}")

    def quoted(self, name: str) -> str:
        return self.quote + name.replace(self.quote, 2 * self.quote) + self.quote

    @staticmethod
    def _digest(*parts: str) -> str:
        return blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    # What differs.

    @abstractmethod
    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and give its rows; the driver's errors."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]:
        """All or nothing, within a transaction of the user's too where the database has that."""

    @abstractmethod
    def insert(self, table: str, staged: Staged) -> None:
        """Write all that is staged."""

    @abstractmethod
    def place(self) -> tuple[str, ...]:
        """Which database this is, without a password."""

    columns = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = {} "
        "ORDER BY ordinal_position"
    )
    temporary = "CREATE TEMPORARY TABLE {} AS SELECT {} FROM {} WHERE 1 = 0"

    def upsert(self, names: Sequence[str], key: str) -> str:
        """What ends an INSERT, for rows whose keys are there."""
        values = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
        return f"ON CONFLICT ({key}) DO UPDATE SET {values}"

    def take_place(self, found: bool) -> None:
        """Give the new table its name."""
        if found:
            self.execute(f"DROP TABLE {self._table}")
        self.execute(f"ALTER TABLE {self._new} RENAME TO {self._table}")

    # What is the same.

    def look(self, layout: Layout) -> None:
        """See that it can be written, before there is anything to write: ValueError otherwise."""
        with self._explained():
            self._check(layout)

    def beside(self) -> str | None:
        """The path of a file for what is staged, in the folder of what is kept; None where there can be none."""
        folder = cache_folder()
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            return os.fspath(folder / f"predictions-{self._digest(self.server, *self.place(), self._into)}")
        return None

    def write(self, staged: Staged) -> None:
        """Write all that is staged, all or nothing."""
        layout = staged.layout
        names = [self.quoted(name) for name in layout.names]
        with self._explained(), self.transaction():
            found = self._check(layout)
            adds = found and self._mode == "upsert"
            self.execute(f"DROP TABLE IF EXISTS {self._new}")
            if adds:
                self.execute(self.temporary.format(self._new, ", ".join(names), self._table))
            else:
                self.execute(self._create(staged))
            self.insert(self._new, staged)
            if adds:
                rows = f"({', '.join(names)}) SELECT {', '.join(names)} FROM {self._new} WHERE true"
                self.execute(f"INSERT INTO {self._table} {rows} {self.upsert(names, names[0])}")
                self.execute(f"DROP TABLE {self._new}")
            else:
                self.take_place(found)

    def _create(self, staged: Staged) -> str:
        kinds = staged.key_types()
        if {"integer", "real"} == set(kinds):
            kinds = ["real"]
        if len(kinds) > 1:
            raise ValueError(
                f"the keys {staged.layout.key!r} are of the types {listed(kinds)}, and a column of {self.server} has "
                "one; CAST them in the query"
            )
        key = self.types["key " + (kinds[0] if kinds else "integer")]
        predicted = [f"{self.quoted(name)} {self.types[kind]} NOT NULL" for name, kind in staged.layout.predicted]
        model, version, at = map(self.quoted, staged.layout.names[-3:])
        text = self.types["TEXT"]
        columns = [f"{self.quoted(staged.layout.key)} {key} NOT NULL PRIMARY KEY", *predicted, f"{model} {text}"]
        return f"CREATE TABLE {self._new} ({', '.join(columns)}, {version} {text}, {at} {self.at} NOT NULL)"

    def _check(self, layout: Layout) -> bool:
        """Whether there is a table that is replaced or added to; ValueError where the new one cannot be written."""
        columns = [name for (name,) in self.execute(self.columns.format(self.mark), self._into)]
        if columns and self._mode == "create":
            raise ValueError(
                f"the database already has {self._into!r}; predictions go into a new table only: give another name, or "
                'drop that one first, or say mode="replace" or "upsert" where it has earlier predictions'
            )
        missing = [name for name in layout.names if name not in columns]
        if columns and (missing if self._mode == "upsert" else not are_predictions(columns)):
            raise ValueError(
                f"the table {self._into!r} has the columns {listed(columns)}, not those of these predictions, "
                "so it is not written: give another name, or drop it first"
            )
        return bool(columns)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._connection_errors() as error:
            words = " ".join(str(error).split())
            raise ValueError(f"the predictions cannot be written; {self.server} says: {words}") from error

    @abstractmethod
    def _connection_errors(self) -> type[Exception]: ...


def _whole(staged: Staged) -> Iterator[tuple[Any, ...]]:
    """Rows of all columns."""
    for keys, columns in staged.batches():
        for key, *predicted in zip(keys, *columns, strict=True):
            if type(key) is Text:
                raise ValueError(f"the key {key!r} is no UTF-8, which the database's texts are; leave the row out")
            yield (key, *predicted, *staged.run)


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
            for row in _whole(staged):
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
            for row in _whole(staged):
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


def server_table(connection: object) -> type[ServerTable] | None:
    """What writes to this connection; None where it is none of a driver that is known."""
    for each in type(connection).__mro__:
        found = _BY_MODULE.get(each.__module__.partition(".")[0])
        if found is not None:
            return found
    return None
