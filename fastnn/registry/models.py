"""A registry: names, versions, aliases and bytes of models, in three tables of a database.

A version is a row, and its bytes are rows of another table, so that a model may be larger than what one value may be
and a list reads none of them. A version that was deleted keeps its row, without all else, so that its number is never
given again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any

from fastnn import _names
from fastnn._checks import as_list, as_number, check_count, check_text, shown
from fastnn._version import __version__
from fastnn.databases.reader import listed
from fastnn.models import Model, load_model

from .database import Database, Session
from .entries import Entry, as_json, checked_alias, checked_name, entry_of, few
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

# As a class that has a method `list` cannot say it.
Entries = list[Entry]
Numbers = list[int]


class Registry:
    """Models by name and version, as ``fastnn.registry.open`` gives it; ``with`` closes it.

    Each call is done whole or not at all, also where the process is killed. Raises ValueError with the database's own
    words where that refuses, and TimeoutError where others were in the way for too long.
    """

    def __init__(self, where: Any, timeout: float = 30.0) -> None:
        timeout = as_number("timeout", timeout)
        if not 0 <= timeout < 10**6:
            raise ValueError(f"timeout must be seconds from 0, got {timeout:g}")
        self._database = Database(where, timeout)
        self._closed = False
        if self._database.is_there:
            self._database.do("the registry cannot be opened", self._missing)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._database.address}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the registry; an open connection that it was given stays open."""
        self._closed = True

    def save(
        self,
        model: Any,
        name: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        query: str | None = None,
        statistics: Mapping[str, Any] | None = None,
        notes: str = "",
        aliases: Iterable[str] = (),
    ) -> int:
        """Save a model as the next version of a name; gives the version, from 1.

        model: a built model, or a FeatureSpace. name: any text of 1 to 255 characters without white space at its ends.
        metrics, statistics: names and what JSON has for them (numbers, also NumPy's, texts, lists, dicts). query: the
        SQL that it was trained with. notes: any text. aliases: names that point to this version from now on.

        A version is never written over, and no number is given twice, though others save at the same time, and not
        after a deletion either.
        """
        name = checked_name("name", name)
        several = as_list("aliases", [aliases] if isinstance(aliases, str) else aliases, "texts")
        pointing = [checked_alias(each) for each in several]
        told = [as_json("metrics", metrics), "" if query is None else check_text("query", query)]
        known = [as_json("statistics", statistics), check_text("notes", notes)]
        data = _bytes_of(model)
        names = json.dumps([*getattr(model, "feature_names", ())])
        row = (*told, names, *known, len(data), sha256(data).hexdigest(), __version__, "")

        def work(session: Session) -> int:
            if self._missing(session):
                return 0
            version = _last(session, name) + 1
            marks = ", ".join("?" * len(COLUMNS[MODELS]))
            session.run(f"INSERT INTO {MODELS} ({ALL}) VALUES ({marks})", name, version, _now(), *row)
            size = session.part()
            for part, begin in enumerate(range(0, len(data), size)):
                insert = f"INSERT INTO {PARTS} (name, version, part, bytes) VALUES (?, ?, ?"
                session.add_bytes(insert, name, version, part, bytes(data[begin : begin + size]))
            for alias in pointing:
                _point(session, name, alias, version)
            return version

        what = f"the model {name!r} cannot be saved"
        self._check_open()
        while not (version := self._database.do(what, work, write=True)):
            self._database.do(what, self._make, write=True)  # apart, as some databases commit with it
        return version

    def load(
        self,
        name: str,
        version: int | str = "latest",
        *,
        custom_objects: Mapping[str, Any] | None = None,
        compile: bool = True,
    ) -> Any:
        """The model of a version: its number, an alias, or "latest", the highest that there is.

        custom_objects, compile: as in ``fastnn.models.load_model``, which reads the bytes once their checksum is right.

        ValueError for an unknown name, version or alias, and where the bytes are damaged or a newer fastnn wrote them.
        """
        name = checked_name("name", name)

        def work(session: Session) -> tuple[int, int, str, BytesIO]:
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
            return found, size, digest, data

        found, size, expected, data = self._do(f"the model {name!r} cannot be loaded", work, name)
        what, came = f"version {found} of {name!r}", sha256(data.getbuffer()).hexdigest()
        if data.tell() != size or came != expected:
            raise ValueError(
                f"{what} is damaged in {self._database.address}: expected {size:,} bytes with the checksum "
                f"{expected:.12}, got {data.tell():,} with {came:.12}; load another version"
            )
        data.seek(0)
        try:
            model = load_model(data, custom_objects, compile)
        except ValueError as error:
            raise ValueError(f"{what} cannot be loaded: {error}") from error
        vars(model)["_registered"] = name, found, expected  # what predictions say, as long as it is this one
        return model

    def list(self, name: str | None = None) -> Sequence[Entry]:
        """A list of what there is, by name and version: all of it, or the versions of a name, which may be unknown."""
        where, values = ("", ()) if name is None else (" AND name = ?", (checked_name("name", name),))

        def work(session: Session) -> Entries:
            rows = session.run(f"SELECT {ALL} FROM {MODELS} WHERE deleted = ''{where}", *values)
            aliases: dict[Row, set[str]] = {}
            for owner, alias, version in session.run(f"SELECT name, alias, version FROM {ALIASES}"):
                aliases.setdefault((owner, version), set()).add(alias)
            return sorted(entry_of(row, aliases.get(row[:2], set())) for row in rows)

        found: Entries = self._do("the models cannot be listed", work)
        return found

    def alias(self, name: str, alias: str, version: int | str | None) -> None:
        """Have an alias point to a version (a number, "latest" as it is now, or another alias); None takes it away.

        alias: a text as a name is one, but not "latest" and no number.
        """
        name, alias = checked_name("name", name), checked_alias(alias)

        def work(session: Session) -> None:
            _last(session, name)
            if version is None:
                self._find(session, name, alias)
                session.run(f"DELETE FROM {ALIASES} WHERE name = ? AND alias = ?", name, alias)
            else:
                _point(session, name, alias, self._find(session, name, version))

        self._do(f"the alias {alias!r} of {name!r} cannot be set", work, name, write=True)

    def delete(self, name: str, version: int | str | None = None) -> int:
        """Delete a version, or all of a name, with the aliases that point there; gives how many versions that were.

        The name and the numbers stay known, so that they are not given again.
        """
        name = checked_name("name", name)

        def work(session: Session) -> int:
            _last(session, name)
            one = self._find(session, name, "latest" if version is None else version)
            found = _versions(session, name) if version is None else [one]
            nothing = ", ".join(f"{column} = {empty}" for column, empty in EMPTY.items())
            for each in found:
                for table in (PARTS, ALIASES):
                    session.run(f"DELETE FROM {table} WHERE name = ? AND version = ?", name, each)
                update = f"UPDATE {MODELS} SET {nothing}, deleted = ? WHERE name = ? AND version = ?"
                session.run(update, _now(), name, each)
            return len(found)

        count: int = self._do(f"the model {name!r} cannot be deleted", work, name, write=True)
        return count

    def _do(self, what: str, work: Callable[[Session], Any], name: str | None = None, write: bool = False) -> Any:
        """Do what needs no new table. Where there is no registry yet: ValueError for an unknown name, or no entries."""
        self._check_open()

        def on_tables(session: Session) -> Any:
            return self._nothing(name) if self._missing(session) else work(session)

        return self._database.do(what, on_tables, write) if self._database.is_there else self._nothing(name)

    def _nothing(self, name: str | None) -> Entries:
        if name is None:
            return []
        raise ValueError(f"no model {name!r} in {self._database.address}, which has no models yet")

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the registry is closed; open it again")

    def _missing(self, session: Session) -> set[str]:
        """The tables that are not there. ValueError for one that has not the columns that it would have here."""
        missing = {table for table in COLUMNS if not session.run(session.kind.there, table)}
        for table in COLUMNS.keys() - missing:
            if lacking := COLUMNS[table].keys() - session.columns(table):
                raise ValueError(
                    f"{self._database.address} has a table {table!r} that is not a registry's: it has no column "
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
        found = _versions(session, name)
        if not found:
            known = sorted({each for (each,) in session.run(f"SELECT name FROM {MODELS} WHERE deleted = ''")})
            has = f"it has {few(known)}" if known else "it has none"
            raise ValueError(f"no model {name!r} in {self._database.address}{_names.hint(name, known)}; {has}")
        if version == "latest":
            return max(found)
        if isinstance(version, str):
            aliases: dict[str, int] = dict(session.run(f"SELECT alias, version FROM {ALIASES} WHERE name = ?", name))
            if version not in aliases:
                has = f"its aliases are {few(sorted(aliases))}" if aliases else "it has no aliases"
                raise ValueError(f"{name!r} has no alias {shown(version)}{_names.hint(version, aliases)}; {has}")
            return aliases[version]
        number = check_count("version", version)
        if number not in found:
            rows = session.run(f"SELECT deleted FROM {MODELS} WHERE name = ? AND version = ?", name, number)
            what = f"was deleted at {rows[0][0]}" if rows else "was never saved"
            raise ValueError(f"version {number} of {name!r} {what}; there are {few(sorted(found))}")
        return number


def _last(session: Session, name: str) -> int:
    """The highest number that a version was ever given, or 0; nobody else writes to the name from now on."""
    session.lock(name)
    last = f"SELECT version FROM {MODELS} WHERE name = ? ORDER BY version DESC LIMIT 1{session.kind.locking}"
    rows = session.run(last, name)
    return int(rows[0][0]) if rows else 0


def _versions(session: Session, name: str) -> Numbers:
    return [each for (each,) in session.run(f"SELECT version FROM {MODELS} WHERE name = ? AND deleted = ''", name)]


def _point(session: Session, name: str, alias: str, version: int) -> None:
    session.run(f"DELETE FROM {ALIASES} WHERE name = ? AND alias = ?", name, alias)
    session.run(f"INSERT INTO {ALIASES} (name, alias, version) VALUES (?, ?, ?)", name, alias, version)


def _bytes_of(model: Any) -> memoryview:
    """A model as the bytes of its file."""
    if not isinstance(model, Model):
        from fastnn.models.feature_space import FeatureSpace

        if not isinstance(model, FeatureSpace):
            raise TypeError(f"model must be a fastnn.models.Model, got {shown(model)}")
    file = BytesIO()
    model.save(file)
    return file.getbuffer()


def _now() -> str:
    return datetime.now(UTC).isoformat()
