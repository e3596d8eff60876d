"""Where rows and their predictions are until all are there: not in the database that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .reader import Text
from .sqlite import plain_cursor, plain_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray


class Gathered:
    """Rows and predictions in a database of their own: in memory while they are few, then in a file without a name.

    A key that is a text but no UTF-8 is there as bytes, and marked. Features lie in blocks, as `predict` takes them.
    """

    def __init__(self, width: int) -> None:
        import sqlite3

        self._connection = sqlite3.connect("", isolation_level=None)
        names = ", ".join(f"c{number}" for number in range(width))
        for sql in (
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE keys (odd, key)",
            "CREATE TABLE blocks (x)",
            f"CREATE TABLE predicted ({names})",
            "BEGIN",
        ):
            execute(self._connection, sql)
        self._insert = f"INSERT INTO predicted VALUES (?{', ?' * (width - 1)})"
        self._select = f"SELECT odd, key, key, {names} FROM keys CROSS JOIN predicted ON predicted.rowid = keys.rowid"

    def close(self) -> None:
        self._connection.close()

    def add(self, keys: list[Any], x: NDArray[np.float32]) -> None:
        """Add rows; all of them come before the first prediction."""
        odd = [0] * len(keys)
        if any(type(key) is Text for key in keys):
            keys = [_decoded(key) for key in keys]
            odd = [int(type(key) is Text) for key in keys]
        self._write("INSERT INTO keys VALUES (?, ?)", zip(odd, keys, strict=True))
        self._write("INSERT INTO blocks VALUES (?)", [(x.tobytes(),)])

    def predicted(self, columns: list[list[float]]) -> None:
        """Add the predictions of the rows that come next."""
        self._write(self._insert, zip(*columns, strict=True))

    def _write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        import sqlite3

        try:
            with plain_cursor(self._connection) as cursor:
                cursor.executemany(sql, _as_they_are(rows))
        except sqlite3.Error as error:
            raise ValueError(f"the predictions cannot be gathered; SQLite says: {error}") from error

    def blocks(self) -> Iterator[bytes]:
        """The features, block by block."""
        return (block for (block,) in self._connection.execute("SELECT x FROM blocks ORDER BY rowid"))

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """All rows in their order: mark, key, key, predictions."""
        return _as_they_are(self._connection.execute(self._select))

    def key(self, row: int) -> Any:
        """The key of a row, counted from 1."""
        [(odd, key)] = execute(self._connection, f"SELECT odd, key FROM keys WHERE rowid = {row}")
        return Text(key) if odd else key


def _decoded(key: Any) -> Any:
    if type(key) is not Text:
        return key
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key


class _Int(int):
    pass


class _Float(float):
    pass


class _Str(str):
    __slots__ = ()


class _Bytes(bytes):
    pass


_OWN: dict[type, Any] = {int: _Int, float: _Float, str: _Str, bytes: _Bytes, Text: _Bytes}


def _as_they_are(rows: Iterable[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    """The same rows for sqlite3, past the adapters that a program may have registered for Python's own types."""
    import sqlite3

    if not any(kind in _OWN for kind, _ in getattr(sqlite3, "adapters", ())):
        return rows
    return (tuple(_OWN[type(value)](value) for value in row) for row in rows)


def execute(connection: sqlite3.Connection, sql: str, *params: str) -> list[tuple[Any, ...]]:
    """Run a statement; gives its rows, whatever the connection makes of rows and texts otherwise. ValueError."""
    import sqlite3

    try:
        with plain_cursor(connection) as cursor, plain_text(connection):
            return cursor.execute(sql, tuple(map(_Str, params))).fetchall()
    except sqlite3.Error as error:
        raise cannot_be_written(error) from error


def cannot_be_written(error: Exception) -> ValueError:
    """The error for what SQLite refuses."""
    return ValueError(f"the predictions cannot be written; SQLite says: {error}")
