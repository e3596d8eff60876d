"""A table of predictions in an SQLite database."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from .layout import are_predictions
from .reader import listed
from .sqlite import quoted
from .sqlite_writing import Inserter, cannot_be_written, execute, table_of, transaction

if TYPE_CHECKING:
    import sqlite3

    from .layout import Layout
    from .sqlite import Query
    from .staged import Staged

__all__ = ["SQLiteTable"]

_STAGED = '"fastnn staged"'


class SQLiteTable:
    """The table `into` of a connection's main database. query: what is read from the same database, else None."""

    def __init__(self, connection: sqlite3.Connection, into: str, mode: str, query: Query | None) -> None:
        self._connection, self._into, self._mode, self._query = connection, into, mode, query
        self._table = f"main.{quoted(into)}"
        [(self.encoding,)] = execute(connection, "PRAGMA main.encoding")

    def look(self, layout: Layout) -> None:
        """See that it can be written, before there is anything to write: ValueError otherwise. It waits for others."""
        with transaction(self._connection, keep=False):
            self._check(layout)
            # A lock says nothing of whether the file can be written.
            [(number,)] = execute(self._connection, "PRAGMA main.user_version")
            execute(self._connection, f"PRAGMA main.user_version = {number}")

    def beside(self) -> str | None:
        """The path of a file beside the database, for what is staged; None where that is in memory."""
        files = execute(self._connection, "SELECT file FROM pragma_database_list WHERE name = 'main'")
        if not files or not files[0][0] or self._connection.in_transaction:
            return None
        mark = blake2b(self._into.lower().encode(), digest_size=4).hexdigest()
        return f"{files[0][0]}-fastnn-{mark}"

    def write(self, staged: Staged) -> None:
        """Write all that is staged, in one transaction that is short."""
        import sqlite3

        if self._mode == "upsert":
            self._check_keys(staged)
        attached = self._attached(staged)
        try:
            with transaction(self._connection):
                found = self._check(staged.layout)
                if found and self._mode == "replace":
                    execute(self._connection, f"DROP TABLE {self._table}")
                if not found or self._mode == "replace":
                    execute(self._connection, table_of(self._table, staged.layout))
                then = self._upsert(staged.layout) if found and self._mode == "upsert" else ""
                if attached:
                    self._copy(staged.layout, then)
                    return
                insert = Inserter(self._connection, self._table, staged.layout, staged.run, then)
                for keys, columns in staged.batches():
                    try:
                        insert.add(keys, columns)
                    except sqlite3.Error as error:
                        raise cannot_be_written(error) from error
        finally:
            if attached:
                execute(self._connection, f"DETACH {_STAGED}")

    def _copy(self, layout: Layout, then: str) -> None:
        """Write what is attached."""
        sql = f"SELECT * FROM {_STAGED}.predicted"
        if then:
            names = ", ".join(map(quoted, layout.names))
            execute(self._connection, f"INSERT INTO {self._table} ({names}) {sql} WHERE true ORDER BY rowid{then}")
        else:
            # Into a table that is new and the same, and without names, SQLite copies rows as they lie, an index too.
            execute(self._connection, f"INSERT INTO {self._table} {sql}")

    def _attached(self, staged: Staged) -> bool:
        """Whether what is staged is a database of the same connection now."""
        path = staged.lend()
        if path is None:
            return False
        try:
            execute(self._connection, f"ATTACH ? AS {_STAGED}", path)
        except ValueError:  # the connection has as many as it may, or an authorizer
            return False
        return True

    def _check_keys(self, staged: Staged) -> None:
        """ValueError where the table would make other keys of these: '5' is no 5."""
        of_key = "SELECT type FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE"
        declared = execute(self._connection, of_key, self._into, staged.layout.key)
        if declared and declared[0][0].upper() == "INTEGER" and (others := staged.keys_of_other_types()):
            raise ValueError(
                f"the table {self._into!r} has whole numbers as its keys, and the query's {staged.layout.key!r} is "
                f"{others[0]!r} among others; write into another table, or CAST it in the query"
            )

    def _upsert(self, layout: Layout) -> str:
        names = map(quoted, layout.names[1:])
        values = ", ".join(f"{name} = excluded.{name}" for name in names)
        return f" ON CONFLICT ({quoted(layout.key)}) DO UPDATE SET {values}"

    def _check(self, layout: Layout) -> bool:
        """Whether there is a table that is replaced or added to; ValueError where the new one cannot be written."""
        connection, found = self._connection, False
        # In every attached database: a new main.into would hide such a table from the query.
        for _, schema, _ in execute(connection, "PRAGMA database_list"):
            if schema == _STAGED.strip('"'):
                continue
            of_that_name = execute(
                connection,
                f"SELECT type FROM {quoted(schema)}.sqlite_master WHERE name = ? COLLATE NOCASE",
                self._into,
            )
            if of_that_name and self._mode != "create" and schema == "main" and of_that_name[0][0] == "table":
                self._check_table(layout)
                found = True
            elif of_that_name:
                raise ValueError(
                    f"the database already has {self._into!r} ({of_that_name[0][0]}); predictions go into "
                    "a new table only: give another name, or drop that one first, or say "
                    'mode="replace" or "upsert" where it has earlier predictions'
                )
        if not found:
            execute(connection, f"EXPLAIN {table_of(self._table, layout)}")
        return found

    def _check_table(self, layout: Layout) -> None:
        columns = [name for (name,) in execute(self._connection, "SELECT name FROM pragma_table_info(?)", self._into)]
        if self._mode == "replace":
            if not are_predictions(columns):
                raise ValueError(
                    f"the table {self._into!r} has the columns {listed(columns)}, which predictions do not have, so "
                    "it is not replaced: give another name, or drop it first"
                )
        elif missing := [name for name in layout.names if name.lower() not in map(str.lower, columns)]:
            raise ValueError(
                f"the table {self._into!r} has the columns {listed(columns)} and not {listed(missing)}, so these "
                "predictions are not added to it: give another name, or replace it by them"
            )
        else:
            self._check_key(layout)
        pages = execute(
            self._connection, "SELECT rootpage FROM main.sqlite_master WHERE tbl_name = ? COLLATE NOCASE", self._into
        )
        if self._query is not None and self._query.reads(self._connection, {page for (page,) in pages}):
            doing = "replaced" if self._mode == "replace" else "changed"
            raise ValueError(
                f"the query reads the table {self._into!r}, which would be {doing}; write into another one"
            )

    def _check_key(self, layout: Layout) -> None:
        names = ", ".join(map(quoted, layout.names))
        try:  # no row; and no EXPLAIN, in which SQLite 3.40 crashes where texts are UTF-16
            execute(
                self._connection,
                f"INSERT INTO {self._table} ({names}) SELECT NULL{', NULL' * (len(layout.names) - 1)} WHERE 0"
                + self._upsert(layout),
            )
        except ValueError as error:
            raise ValueError(
                f"the predictions cannot be added to the table {self._into!r} by the key {layout.key!r}: {error}; it "
                "must be PRIMARY KEY or UNIQUE there"
            ) from error
