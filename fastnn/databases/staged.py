"""Predictions until all are there: in a database of their own, which a process that is ended leaves for the next."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .layout import Run
from .reader import Text
from .spool import decoded
from .sqlite import plain_cursor, quoted
from .sqlite_writing import Inserter, cannot_be_written, execute, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .layout import Layout

__all__ = ["Staged"]

SECONDS = 1.0  # between two commits: what an end costs
_MARK = 0x666E6E70  # PRAGMA application_id of such a file
_AT_ONCE = 2**13  # rows that are read back at a time


class Staged:
    """Predictions of one run, in the order of its rows.

    identity: what decides the predictions of given rows; None where that is not known. path: of a file that outlives
    the process, until it is removed. Where one of the same identity is there, `has` knows its batches, and `run` is
    the one that began it; what is there of another is forgotten. Without a path, or where another process has that
    file, predictions are in memory, and in a file without a name when they are many.
    """

    def __init__(self, path: str | None, identity: bytes | None, layout: Layout, run: Run, encoding: str) -> None:
        import sqlite3

        self.layout, self.run, self.path = layout, run, path
        self._known: list[tuple[str, int]] = []  # of each batch from before: its digest, the number of its last row
        self._batches = self.rows = 0
        self._lent = False
        self._left = False  # whether the file has what is worth keeping
        make = table_of("predicted", layout)
        self._identity = blake2b(repr((identity, make, *run[:2], encoding)).encode(), digest_size=16).hexdigest()
        if path is None or identity is None or not self._opened(path):
            self.path = None
            self._connection = sqlite3.connect("", isolation_level=None)
        try:
            if not self._left:
                self._make(make, encoding)
            execute(self._connection, "BEGIN")
        except BaseException:
            self.close(keep=False)
            raise
        self._insert = Inserter(self._connection, "predicted", layout, self.run)
        self._committed = time.monotonic()

    def _opened(self, path: str) -> bool:
        """Whether the file is ours to write; it is then there, empty or with what a run of this identity has left."""
        import sqlite3

        connection = None
        try:
            while True:
                connection = self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
                for sql in ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "COMMIT"):
                    execute(connection, sql)
                if not execute(connection, "SELECT 1 FROM sqlite_master"):
                    with suppress(OSError):
                        os.chmod(path, 0o600)
                    return True
                if execute(connection, "PRAGMA application_id") != [(_MARK,)]:
                    break
                [(identity, at)] = execute(connection, "SELECT identity, at FROM run")
                if identity == self._identity:
                    self.run, self._left = self.run._replace(at=at), True
                    self._known = execute(connection, "SELECT digest, last FROM batches ORDER BY rowid")
                    return True
                connection.close()
                os.unlink(path)
        except (ValueError, sqlite3.Error, OSError):  # another process has it, it is damaged, or it cannot be made
            pass
        if connection is not None:
            connection.close()
        return False

    def _make(self, make: str, encoding: str) -> None:
        for sql in (
            f"PRAGMA encoding = '{encoding}'",
            f"PRAGMA journal_mode = {'WAL' if self.path else 'OFF'}",  # WAL: whole after a power cut too
            "PRAGMA synchronous = NORMAL",
            "BEGIN",
            f"PRAGMA application_id = {_MARK}",
            "CREATE TABLE run (identity, at)",
            "CREATE TABLE batches (digest, last)",
            make,
        ):
            execute(self._connection, sql)
        execute(self._connection, "INSERT INTO run VALUES (?, ?)", self._identity, self.run.at)
        execute(self._connection, "COMMIT")

    def has(self, digest: str, rows: int) -> bool:
        """Whether the batch that comes next, of so many rows, is there from before. digest: of its keys and features.

        Where another one is there, that and all behind it are forgotten.
        """
        if self._batches >= len(self._known):
            return False
        if self._known[self._batches][0] != digest:
            self._forget()
            return False
        self._batches += 1
        self.rows += rows
        return True

    def _forget(self) -> None:
        """Forget batches from before that do not come again."""
        last = f" WHERE rowid > {self._known[self._batches - 1][1]}" if self._batches else ""
        execute(self._connection, f"DELETE FROM predicted{last}")
        execute(self._connection, f"DELETE FROM batches WHERE rowid > {self._batches}")
        del self._known[self._batches :]

    def add(self, digest: str, keys: Sequence[Any], columns: Sequence[Sequence[float]]) -> None:
        """Add the batch that comes next. ValueError for a key that has come before."""
        import sqlite3

        try:
            self._insert.add(keys, columns)
        except sqlite3.IntegrityError as error:
            raise self._twice(keys, columns) from error
        except sqlite3.Error as error:
            raise cannot_be_written(error) from error
        self._batches += 1
        self.rows += len(keys)
        if self.path is not None:
            execute(self._connection, "INSERT INTO batches SELECT ?, max(rowid) FROM predicted", digest)
            if time.monotonic() - self._committed >= SECONDS:
                self._commit()

    def _twice(self, keys: Sequence[Any], columns: Sequence[Sequence[float]]) -> ValueError:
        import sqlite3

        [(there,)] = execute(self._connection, "SELECT count(*) FROM predicted")
        for row in range(there - self.rows, len(keys)):
            try:
                self._insert.add(keys[row : row + 1], [column[row : row + 1] for column in columns])
            except sqlite3.IntegrityError:
                return ValueError(
                    f"the key {self.layout.key!r} is {keys[row]!r} in row {self.rows + row + 1} of the query and in "
                    "an earlier row; a key must name one row"
                )
        raise AssertionError("no key explains why the rows were refused")

    def _commit(self) -> None:
        execute(self._connection, "COMMIT")
        execute(self._connection, "BEGIN")
        self._left, self._committed = True, time.monotonic()

    def finish(self) -> None:
        """All rows are there."""
        if self._batches < len(self._known):
            self._forget()
        execute(self._connection, "COMMIT")
        self._left = True

    def keys_of_other_types(self) -> list[Any]:
        """A key that is no whole number, if there is one."""
        key = quoted(self.layout.key)
        found = execute(self._connection, f"SELECT {key} FROM predicted WHERE typeof({key}) <> 'integer' LIMIT 1")
        return [value for (value,) in found]

    def key_types(self) -> list[str]:
        """SQLite's names of the types that the keys have."""
        key = quoted(self.layout.key)
        return [kind for (kind,) in execute(self._connection, f"SELECT DISTINCT typeof({key}) FROM predicted")]

    def lend(self) -> str | None:
        """The path of the file, for another connection to read from, where there is one; its table is `predicted`."""
        if self.path is not None:
            self._connection.close()
            self._lent = True
        return self.path

    def batches(self) -> Iterator[tuple[list[Any], list[tuple[float, ...]]]]:
        """All keys, and columns of what is predicted, some rows at a time; texts as ``Spool.batches``."""
        import sqlite3

        connection = sqlite3.connect(self.path) if self._lent and self.path else self._connection
        try:
            connection.text_factory = Text
            with plain_cursor(connection) as cursor:
                cursor.execute("SELECT * FROM predicted ORDER BY rowid")
                while rows := cursor.fetchmany(_AT_ONCE):
                    keys, *columns = zip(*rows, strict=True)
                    yield list(map(decoded, keys)), columns[: len(self.layout.predicted)]
        finally:
            if self._lent:
                connection.close()

    def close(self, *, keep: bool) -> None:
        """End it. keep: the file, where it has something."""
        import sqlite3

        with suppress(sqlite3.Error):
            self._connection.close()
        if self.path is not None and not (keep and self._left):
            for name in (self.path, f"{self.path}-wal", f"{self.path}-shm"):
                with suppress(OSError):
                    os.unlink(name)
