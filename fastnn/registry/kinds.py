"""What differs between SQLite, PostgreSQL, and MariaDB or MySQL, and between their drivers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from itertools import count
from typing import Any, NamedTuple

from fastnn.databases.sqlite import plain_cursor

Row = tuple[Any, ...]


class Kind(NamedTuple):
    """What differs between databases, and between their drivers."""

    server: str  # what messages call it
    mark: str  # what stands for a value in SQL
    name: str  # the types of columns: a short text that is compared character by character,
    text: str  # a long one,
    data: str  # and bytes
    table: str  # ends CREATE TABLE
    there: str  # gives a row where something has the name of a table
    begin: tuple[str, ...]  # of a transaction that writes, and waits for others: ms milliseconds
    patience: str  # has a connection of the registry's wait for others: s seconds, ms milliseconds
    busy: frozenset[Any]  # errors of a transaction that would succeed when it is done again
    code: Callable[[Any], Any]  # the error's code
    cursor: Callable[[Any], Any]  # a cursor that gives tuples, whatever the connection gives else
    in_transaction: Callable[[Any], bool]
    lock: str = ""  # waits for other transactions that write to a name
    locking: str = ""  # ends a SELECT that does so
    packet: str = ""  # gives the most bytes that a statement may have
    bytes_as: str = "?"  # the bytes that are bound
    makes_commit: bool = False  # CREATE TABLE ends an open transaction

    def sql(self, sql: str) -> str:
        """A statement whose values are question marks, as the driver takes it."""
        numbers = count(1)
        return re.sub(r"\?", lambda _: f"${next(numbers)}", sql) if self.mark == "$" else sql.replace("?", self.mark)


def _psycopg_cursor(con: Any) -> Any:
    from psycopg.rows import tuple_row

    return con.cursor(row_factory=tuple_row, binary=True)


def _pymysql_cursor(con: Any) -> Any:
    from pymysql.cursors import Cursor

    return con.cursor(Cursor)


def _pymysql_in_transaction(con: Any) -> bool:
    with closing(_pymysql_cursor(con)) as cursor:
        cursor.execute("DO 0")  # what has no rows tells the state
    return bool(con.server_status & 1)


SQLITE = Kind(
    "SQLite",
    "?",
    "TEXT",
    "TEXT",
    "BLOB",
    "",
    "SELECT 1 FROM main.sqlite_master WHERE name = ? COLLATE NOCASE",
    ("BEGIN IMMEDIATE",),  # SQLite does not wait for a lock that a reader asks for later
    "PRAGMA busy_timeout = {ms}",
    frozenset((5, 6)),  # busy, locked
    lambda error: getattr(error, "sqlite_errorcode", 0) & 0xFF,
    plain_cursor,
    lambda con: con.in_transaction,
)
POSTGRES = Kind(
    "PostgreSQL",
    "%s",
    "TEXT",
    "TEXT",
    "BYTEA",
    "",
    "SELECT 1 WHERE to_regclass(?) IS NOT NULL",
    # After a lock, what others wrote is seen. Nothing is set for longer: a pool may give the connection to others.
    ("BEGIN", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL lock_timeout = {ms}"),
    "",
    # Serialization, deadlock, unique, lock; and what two that make one table may say.
    frozenset(("40001", "40P01", "23505", "55P03", "42P07", "42710")),
    lambda error: error.sqlstate,
    _psycopg_cursor,
    lambda con: con.info.transaction_status != 0,
    # The number keeps it apart from the locks of other programs.
    lock="SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(?, 4077))",
)
ADBC = POSTGRES._replace(mark="$", cursor=lambda con: con.cursor(), in_transaction=lambda con: False)
MYSQL = Kind(
    "the server",
    "%s",
    "VARCHAR(255)",
    "LONGTEXT",
    "LONGBLOB",
    " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
    ("START TRANSACTION",),
    "SET innodb_lock_wait_timeout = {s}",
    frozenset((1205, 1213, 1062, 1050, 1020)),  # lock, deadlock, unique, table is there, changed since it was read
    lambda error: error.args[0] if error.args else 0,
    _pymysql_cursor,
    _pymysql_in_transaction,
    locking=" FOR UPDATE",
    packet="SELECT @@max_allowed_packet",
    bytes_as="FROM_BASE64(?)",  # whatever the connection's character set and escapes are
    makes_commit=True,
)
