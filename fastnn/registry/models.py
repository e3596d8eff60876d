"""A registry: names, versions, aliases and bytes of models, in three tables of a database.

A version is a row, and its bytes are rows of another table, so that a model may be larger than what one value may be
and a list reads none of them. A version that was deleted keeps its row, without all else, so that its number is never
given again.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from fastnn._checks import as_number
from fastnn.databases.reader import listed

from .base import Found, New, Registry, chosen, now
from .database import Database, Session
from .entries import Entry, entry_of
from .kinds import Row

MODELS, PARTS, ALIASES = "fastnn_models", "fastnn_model_parts", "fastnn_model_aliases"
# The columns of each table, and what they hold; no value is NULL.
COLUMNS = {
    PARTS: {"name": "name", "version": "number", "part": "number", "bytes": "data"},
    ALIASES: {"name": "name", "alias": "name", "version": "number"},
    MODELS: {
        "name": "name",
        "version": "number",
        "created": "text",
        "metrics": "text",
        "query": "text",
        "feature_names": "text",
        "statistics": "text",
        "notes": "text",
        "size": "number",
        "sha256": "text",
        "fastnn_version": "text",
        "deleted": "text",
    },
}
KEYS = {PARTS: "name, version, part", ALIASES: "name, alias", MODELS: "name, version"}
ALL = ", ".join(COLUMNS[MODELS])
# What a version that was deleted has; it stays known when it was, and of which bytes.
EMPTY = {"metrics": "'{}'", "query": "''", "feature_names": "'[]'", "statistics": "'{}'", "notes": "''"}


class DatabaseRegistry(Registry):
    """The tables. TimeoutError where others were in the way for too long."""

    def __init__(self, where: Any, timeout: float = 30.0) -> None:
        timeout = as_number("timeout", timeout)
        if not 0 <= timeout < 10**6:
            raise ValueError(f"timeout must be seconds from 0, got {timeout:g}")
        self._database = Database(where, timeout)
        self.address = self._database.address
        if self._database.is_there:
            self._database.do("the registry cannot be opened", self._missing)

    def _save(self, name: str, new: New) -> int:
        row, data = {**new.about, "deleted": ""}, new.data

        def work(session: Session) -> int:
            if self._missing(session):
                return 0
            version = _last(session, name) + 1
            marks = ", ".join("?" * len(COLUMNS[MODELS]))
            told = {**row, "name": name, "version": version, "created": now()}
            session.run(f"INSERT INTO {MODELS} ({ALL}) VALUES ({marks})", *(told[each] for each in COLUMNS[MODELS]))
            size = session.part()
            for part, begin in enumerate(range(0, len(data), size)):
                insert = f"INSERT INTO {PARTS} (name, version, part, bytes) VALUES (?, ?, ?"
                session.add_bytes(insert, name, version, part, bytes(data[begin : begin + size]))
            for alias in new.aliases:
                _point(session, name, alias, version)
            return version

        what = f"the model {name!r} cannot be saved"
        while not (version := self._database.do(what, work, write=True)):
            self._database.do(what, self._make, write=True)  # apart, as some databases commit with it
        return version

    def _fetch(self, name: str, version: int | str) -> Found:
        def work(session: Session) -> Found:
            found = self._find(session, name, version)
            row = f"SELECT size, sha256 FROM {MODELS} WHERE name = ? AND version = ?"
            next_part = f"SELECT bytes FROM {PARTS} WHERE name = ? AND version = ? AND part = ?"
            [(size, digest)] = session.run(row, name, found)
            data, part = BytesIO(), 0
            while data.tell() <= size and (rows := session.run(next_part, name, found, part)):
                data.write(rows[0][0])
                part += 1
            if data.tell() != size:
                self._find(session, name, found)  # unless it was deleted meanwhile
            return Found(found, size, digest, data)

        done: Found = self._do(f"the model {name!r} cannot be loaded", work, name)
        return done

    def _list(self, name: str | None) -> list[Entry]:
        where, values = ("", ()) if name is None else (" AND name = ?", (name,))

        def work(session: Session) -> list[Entry]:
            rows = session.run(f"SELECT {ALL} FROM {MODELS} WHERE deleted = ''{where}", *values)
            aliases: dict[Row, set[str]] = {}
            for owner, alias, version in session.run(f"SELECT name, alias, version FROM {ALIASES}"):
                aliases.setdefault((owner, version), set()).add(alias)
            return [entry_of(dict(zip(COLUMNS[MODELS], row, strict=True)), aliases.get(row[:2], set())) for row in rows]

        found: list[Entry] = self._do("the models cannot be listed", work)
        return found

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        def work(session: Session) -> None:
            _last(session, name)
            if version is None:
                self._find(session, name, alias)
                session.run(f"DELETE FROM {ALIASES} WHERE name = ? AND alias = ?", name, alias)
            else:
                _point(session, name, alias, self._find(session, name, version))

        self._do(f"the alias {alias!r} of {name!r} cannot be set", work, name, write=True)

    def _delete(self, name: str, version: int | str | None) -> int:
        def work(session: Session) -> int:
            _last(session, name)
            one = self._find(session, name, "latest" if version is None else version)
            found = _versions(session, name) if version is None else [one]
            nothing = ", ".join(f"{column} = {empty}" for column, empty in EMPTY.items())
            for each in found:
                for table in (PARTS, ALIASES):
                    session.run(f"DELETE FROM {table} WHERE name = ? AND version = ?", name, each)
                update = f"UPDATE {MODELS} SET {nothing}, deleted = ? WHERE name = ? AND version = ?"
                session.run(update, now(), name, each)
            return len(found)

        count: int = self._do(f"the model {name!r} cannot be deleted", work, name, write=True)
        return count

    def _do(self, what: str, work: Callable[[Session], Any], name: str | None = None, write: bool = False) -> Any:
        """Do what needs no new table. Where there is no registry yet: ValueError for an unknown name, or no entries."""

        def on_tables(session: Session) -> Any:
            return self._nothing(name) if self._missing(session) else work(session)

        return self._database.do(what, on_tables, write) if self._database.is_there else self._nothing(name)

    def _nothing(self, name: str | None) -> list[Entry]:
        if name is None:
            return []
        raise ValueError(f"no model {name!r} in {self.address}, which has no models yet")

    def _missing(self, session: Session) -> set[str]:
        """The tables that are not there. ValueError for one that has not the columns that it would have here."""
        missing = {table for table in COLUMNS if not session.run(session.kind.there, table)}
        for table in COLUMNS.keys() - missing:
            if lacking := COLUMNS[table].keys() - session.columns(table):
                raise ValueError(
                    f"{self.address} has a table {table!r} that is not a registry's: it has no column "
                    f"{listed(sorted(lacking))}; rename it, or open a registry in another database"
                )
        return missing

    def _make(self, session: Session) -> None:
        if not self._missing(session):
            return
        kind = session.kind
        if session.nested and kind.makes_commit:
            raise ValueError(
                "the registry has no tables yet, and to make them would commit the connection's open transaction; "
                "commit it or roll it back first"
            )
        session.lock("")
        types = {"number": "BIGINT", "name": kind.name, "text": kind.text, "data": kind.data}
        for table, columns in COLUMNS.items():
            declared = ", ".join(f"{name} {types[each]} NOT NULL" for name, each in columns.items())
            session.run(f"CREATE TABLE IF NOT EXISTS {table} ({declared}, PRIMARY KEY ({KEYS[table]})){kind.table}")

    def _find(self, session: Session, name: str, version: int | str) -> int:
        """The number of a version; ValueError where there is none such."""

        def known() -> list[str]:
            return [each for (each,) in session.run(f"SELECT DISTINCT name FROM {MODELS} WHERE deleted = ''")]

        def deleted(number: int) -> str | None:
            rows = session.run(f"SELECT deleted FROM {MODELS} WHERE name = ? AND version = ?", name, number)
            return str(rows[0][0]) if rows else None

        def aliases() -> dict[str, int]:
            return dict(session.run(f"SELECT alias, version FROM {ALIASES} WHERE name = ?", name))

        return chosen(self.address, name, version, _versions(session, name), aliases, known, deleted)


def _last(session: Session, name: str) -> int:
    """The highest number that a version was ever given, or 0; nobody else writes to the name from now on."""
    session.lock(name)
    last = f"SELECT version FROM {MODELS} WHERE name = ? ORDER BY version DESC LIMIT 1{session.kind.locking}"
    rows = session.run(last, name)
    return int(rows[0][0]) if rows else 0


def _versions(session: Session, name: str) -> list[int]:
    return [each for (each,) in session.run(f"SELECT version FROM {MODELS} WHERE name = ? AND deleted = ''", name)]


def _point(session: Session, name: str, alias: str, version: int) -> None:
    session.run(f"DELETE FROM {ALIASES} WHERE name = ? AND alias = ?", name, alias)
    session.run(f"INSERT INTO {ALIASES} (name, alias, version) VALUES (?, ?, ?)", name, alias, version)
