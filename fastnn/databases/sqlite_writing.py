"""Statements that write to SQLite: past the adapters of a program, and all or nothing."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from .reader import Text
from .sqlite import plain_cursor, plain_text, quoted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from .layout import Layout, Run

__all__ = ["Inserter", "cannot_be_written", "execute", "table_of", "transaction"]

# Of one statement: 50 rows take a third of the time that 50 statements do. Old SQLite binds no more than 999.
_ROWS, _VALUES = 50, 900


class _Int(int):
    pass


class _Float(float):
    pass


class _Str(str):
    __slots__ = ()


class _Bytes(bytes):
    pass


_OWN: dict[type, Any] = {int: _Int, float: _Float, str: _Str, bytes: _Bytes, Text: _Bytes}


def _as_they_are(rows: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]]:
    """The same rows for sqlite3, past the adapters that a program may have registered for Python's own types."""
    import sqlite3

    if not any(kind in _OWN for kind, _ in getattr(sqlite3, "adapters", ())):
        return rows
    return (tuple(_OWN.get(type(value), lambda same: same)(value) for value in row) for row in rows)


def execute(connection: sqlite3.Connection, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a statement; gives its rows, whatever the connection makes of rows and texts otherwise. ValueError."""
    import sqlite3

    try:
        with plain_cursor(connection) as cursor, plain_text(connection):
            return cursor.execute(sql, next(iter(_as_they_are([params])))).fetchall()
    except sqlite3.Error as error:
        raise cannot_be_written(error) from error


def cannot_be_written(error: Exception) -> ValueError:
    """The error for what SQLite refuses."""
    return ValueError(f"the predictions cannot be written; SQLite says: {error}")


def table_of(name: str, layout: Layout) -> str:
    """The statement that makes a table of predictions. name: quoted."""
    # Without a type a key stays what it is. As the row's number it needs no index beside the table, and the rows lie in
    # the order of the query where that is ascending.
    key = f"{quoted(layout.key)} {'INTEGER ' if layout.whole_key else ''}NOT NULL PRIMARY KEY"
    predicted = (f"{quoted(column)} {kind} NOT NULL" for column, kind in layout.predicted)
    columns = ", ".join([key, *predicted, "model TEXT", "model_version TEXT", "predicted_at TEXT NOT NULL"])
    return f"CREATE TABLE {name} ({columns})"


class Inserter:
    """Writes rows of one run into a table. then: what follows the values in its statement."""

    def __init__(self, connection: sqlite3.Connection, table: str, layout: Layout, run: Run, then: str = "") -> None:
        self._connection, self._then = connection, then
        self._width = 1 + len(layout.predicted)
        names = ", ".join(map(quoted, layout.names))
        self._into = f"INSERT INTO {table} ({names}) VALUES "
        self._run = ", ".join("NULL" if text is None else _literal(text) for text in run)
        self._at_once = max(1, min(_ROWS, _VALUES // self._width))

    def add(self, keys: Sequence[Any], columns: Sequence[Sequence[float]]) -> None:
        """Write rows; sqlite3's own errors, of which an IntegrityError leaves out those of one statement."""
        with plain_cursor(self._connection) as cursor:
            if Text in set(map(type, keys)):
                # A text that is no UTF-8. No numbered question marks: some versions of sqlite3 take them for names.
                sql = self._statement(1, "CASE ? WHEN 1 THEN CAST(? AS TEXT) ELSE ? END")
                odd = (type(key) is Text for key in keys)
                cursor.executemany(sql, _as_they_are(zip(odd, keys, keys, *columns, strict=True)))
                return
            values = list(chain.from_iterable(zip(keys, *columns, strict=True)))
            step = self._at_once * self._width
            whole = len(values) // step * step
            if whole:
                parts = (values[i : i + step] for i in range(0, whole, step))
                cursor.executemany(self._statement(self._at_once), _as_they_are(parts))
            if rest := values[whole:]:
                cursor.executemany(self._statement(len(rest) // self._width), _as_they_are([rest]))

    def _statement(self, rows: int, key: str = "?") -> str:
        row = f"({key}{', ?' * (self._width - 1)}, {self._run})"
        return f"{self._into}{', '.join([row] * rows)}{self._then}"


def _literal(text: str) -> str:
    """A text as SQL has it: the same in each row, it need not be bound for each."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def transaction(connection: sqlite3.Connection, *, keep: bool = True) -> Iterator[None]:
    """All or nothing, with the lock of a writer from the beginning on. keep: whether what was done stays.

    A lock that a reader asks for later is not waited for: SQLite says at once that the database is locked.
    """
    nested = connection.in_transaction  # then a savepoint, and a first statement that writes
    execute(connection, "SAVEPOINT fastnn_predictions" if nested else "BEGIN IMMEDIATE")
    try:
        if nested:
            execute(connection, 'CREATE TABLE main."fastnn takes the lock" (x)')
            execute(connection, 'DROP TABLE main."fastnn takes the lock"')
        yield
        execute(connection, "RELEASE fastnn_predictions" if nested else "COMMIT" if keep else "ROLLBACK")
    except BaseException:
        if nested and connection.in_transaction:
            execute(connection, "ROLLBACK TO fastnn_predictions")
            execute(connection, "RELEASE fastnn_predictions")
        elif connection.in_transaction:
            execute(connection, "ROLLBACK")
        raise
