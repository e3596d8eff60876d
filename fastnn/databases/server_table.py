"""A table of predictions in another database than SQLite: what is the same in all of them."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from .cache import cache_folder
from .layout import are_predictions
from .reader import Text, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from .layout import Layout
    from .staged import Staged

__all__ = ["ServerTable", "whole_rows"]


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

    def __init__(self, connection: Any, into: str, mode: str, sql: str | None) -> None:
        """sql: what is read from the same database, else None."""
        self._connection, self._into, self._mode, self._sql = connection, into, mode, sql
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
        if columns and self._sql and re.search(rf"(?<!\w){re.escape(self._into)}(?!\w)", self._sql, re.IGNORECASE):
            raise ValueError(
                f"the query names the table {self._into!r}, which would be written; write into another one, or call "
                "it otherwise in the query where it is no table"
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


def whole_rows(staged: Staged) -> Iterator[tuple[Any, ...]]:
    """Rows of all columns."""
    for keys, columns in staged.batches():
        for key, *predicted in zip(keys, *columns, strict=True):
            if type(key) is Text:
                raise ValueError(f"the key {key!r} is no UTF-8, which the database's texts are; leave the row out")
            yield (key, *predicted, *staged.run)
