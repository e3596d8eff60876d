"""Predictions kept in a table of a database, by a thread of its own: no answer waits for it, or fails by it."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, as_number, check_count, check_text, shown
from fastnn.data.answers import answers
from fastnn.models.by_rows import by_rows
from fastnn.registry.database import Database, Session

__all__ = ["PredictionLog"]

ROWS = 80  # of one statement: SQLite may bind no more than 999 values
LONGEST = 255  # characters of names


class PredictionLog:
    """Writes what a service answers into a table, in batches, from a thread of its own.

    database: a path or URL of SQLite, PostgreSQL, MariaDB or MySQL, as ``fastnn.registry.open`` takes it. table: made
    where there is none. Its columns are predicted_at (ISO 8601, UTC), model, model_version, request, place (of the row
    in the request), `key`, prediction (a class, or a number; NULL where the model gives several), probability (of that
    class), outputs and inputs (JSON). inputs: whether these are kept; they may be personal. most: rows that may wait;
    beyond, rows are dropped and counted. seconds: between two batches. key: what its column is called.

    `written`, `dropped`: how many rows; `error`: what went wrong last, None if nothing did. Where it cannot
    be reached, rows wait; where it refuses some, these are dropped. Raises ValueError where it cannot be written at the
    beginning, or the table is another's, TypeError for an open connection, which belongs to one thread.

    ``close`` writes what waits; so does the end of ``with``.
    """

    def __init__(
        self,
        database: Any,
        table: str = "fastnn_predictions",
        *,
        key: str = "row_key",
        inputs: bool = False,
        most: int = 10_000,
        seconds: float = 1.0,
    ) -> None:
        if not isinstance(database, str | bytes) and not hasattr(database, "__fspath__"):
            raise TypeError(f"PredictionLog: database must be a path or a URL, got {shown(database)}")
        self._table, key = _name("table", table), _name("key", key)
        self._columns = ["predicted_at", "model", "model_version", "request", "place", key]
        self._columns += ["prediction", "probability", "outputs", "inputs"]
        if len({each.lower() for each in self._columns}) < len(self._columns):
            raise ValueError(f"PredictionLog: key {key!r} is a column of the table already; choose another name")
        self._inputs, self._most = as_flag("PredictionLog: inputs", inputs), check_count("PredictionLog: most", most)
        self._seconds = as_number("PredictionLog: seconds", seconds)
        if not 0 < self._seconds < 10**6:
            raise ValueError(f"PredictionLog: seconds must be above 0, got {shown(seconds)}")
        self._database = Database(database, timeout=10.0)
        self.written = self.dropped = 0
        self.error: str | None = None
        self._waiting, self._items, self._lock = 0, deque[Any](), Lock()
        self._wake, self._closing, self._model = Event(), False, (None, "", ())
        self._do(lambda session: self._insert(session, []))
        self._thread = Thread(target=self._run, name="fastnn predictions", daemon=True)
        self._thread.start()

    def add(
        self,
        model: Any,
        outputs: Any,
        *,
        name: str | None = None,
        version: Any = None,
        request: str | None = None,
        keys: Sequence[Any] | None = None,
        inputs: Any = None,
    ) -> bool:
        """Take the answer to one request; gives whether there was room. It never waits and never raises.

        model: the one that predicted. outputs: what `predict` gave. name, version: what the table says of the model.
        request: its id. keys: what names each row, None where nothing does. inputs: an array, or columns by name, kept
        where the log keeps them. All are read later: do not change them.
        """
        several = outputs.values() if isinstance(outputs, Mapping) else outputs
        try:
            rows = len(outputs if hasattr(outputs, "shape") else next(iter(several)))
        except (TypeError, StopIteration):
            rows = 1
        item = (datetime.now(UTC), model, outputs, name, version, request, keys, inputs if self._inputs else None, rows)
        with self._lock:
            if self._closing or self._waiting + rows > self._most:
                self.dropped += rows
                return False
            self._waiting += rows
            self._items.append(item)
            if 2 * self._waiting > self._most:
                self._wake.set()
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, and end; what could not be written in so many seconds is dropped."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        with self._lock:
            self.dropped += self._waiting
            self._waiting = 0

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def gauges(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Names, labels and values as Prometheus has them."""
        for name in ("written", "dropped", "waiting"):
            yield f"fastnn_predictions_{name}", {}, float(getattr(self, name))

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return self._waiting

    # In the thread.

    def _run(self) -> None:
        pause = self._seconds
        while not self._closing:
            self._wake.wait(pause)
            self._wake.clear()
            done = self._write()
            pause = self._seconds if done else min(2 * pause, 30)
        self._write()

    def _write(self) -> bool:
        """Write what waits; False where the database cannot be reached."""
        end = monotonic() + 60
        while self._items and monotonic() < end:
            with self._lock:
                items = [self._items[k] for k in range(min(len(self._items), 1000))]
            rows = [self._rows(item) for item in items]
            try:
                self._do(lambda session, rows=rows: self._insert(session, [*chain.from_iterable(rows)]))
            except Exception as error:
                self.error = str(error)
                if not self._answers():
                    return False
                self._one_by_one(items, rows)
            else:
                self._done(items, sum(map(len, rows)))
        return True

    def _one_by_one(self, items: list[Any], rows: list[Any]) -> None:
        """Something of these is refused: what is not is written."""
        for item, own in zip(items, rows, strict=True):
            written = 0
            with suppress(Exception):
                self._do(lambda session, own=own: self._insert(session, own))
                written = len(own)
            self._done([item], written)

    def _done(self, items: list[Any], written: int) -> None:
        with self._lock:
            rows = sum(item[-1] for item in items)
            for _ in items:
                self._items.popleft()
            self._waiting -= rows
            self.written += written
            self.dropped += rows - written

    def _answers(self) -> bool:
        try:
            self._do(lambda session: session.run("SELECT 1"))
        except Exception:
            return False
        return True

    def _do(self, work: Any) -> None:
        self._database.do(f"predictions cannot be written into the table {self._table!r}", work, write=True)

    def _insert(self, session: Session, rows: list[Any]) -> None:
        kind = session.kind
        quote = "`" if kind.server == "the server" else '"'
        table = f"{quote}{self._table}{quote}"
        names = ", ".join(f"{quote}{name}{quote}" for name in self._columns)
        if not session.run(kind.there, table if "regclass" in kind.there else self._table):
            types = [kind.name] * 4 + ["BIGINT", kind.text, kind.text, "DOUBLE PRECISION", kind.text, kind.text]
            declared = ", ".join(f"{name} {each}" for name, each in zip(names.split(", "), types, strict=True))
            session.run(f"CREATE TABLE IF NOT EXISTS {table} ({declared}){kind.table}")
        elif not rows and (lacking := {*map(str.lower, self._columns)} - session.columns(table)):
            raise ValueError(
                f"the table {self._table!r} of {self._database.address} is not a log of predictions: it has no column "
                f"{', '.join(map(repr, sorted(lacking)))}; choose another name"
            )
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            # NULL stands in the text: not every driver knows the type of a value that is none.
            marks = (", ".join("NULL" if value is None else "?" for value in row) for row in part)
            values = [value for row in part for value in row if value is not None]
            session.run(f"INSERT INTO {table} ({names}) VALUES ({'), ('.join(marks)})", *values)

    def _rows(self, item: Any) -> list[Any]:
        """The rows of a request as the table has them; none where they do not go together."""
        at, model, outputs, name, version, request, keys, inputs, rows = item
        try:
            given = outputs.values() if isinstance(outputs, Mapping) else outputs
            parts = [outputs] if hasattr(outputs, "shape") else list(given)
            table = np.concatenate([np.asarray(each, np.float64).reshape(rows, -1) for each in parts], axis=1)
            said = self._answered(model, table)
            label = [at.isoformat(), _text(name or model.name), None if version is None else _text(version)]
            label.append(None if request is None else _text(request))
            keys = [None] * rows if keys is None else [None if key is None else _text(key, None) for key in keys]
            kept = [None] * rows if inputs is None else _records(inputs, rows)
            texts = map(_json, table.tolist())
            return [[*label, place, *row] for place, row in enumerate(zip(keys, *said, texts, kept, strict=True))]
        except Exception as error:
            self.error = f"an answer of {rows} rows cannot be kept: {error}"
            return []

    def _answered(self, model: Any, outputs: Any) -> list[list[Any]]:
        """The columns prediction and probability; None for what is no class and no single number."""
        if self._model[0] is not model:
            built = model.description
            self._model = model, by_rows(model, "predictions").kind, built.notes.get("classes", ())
        _, kind, classes = self._model
        nothing = [None] * len(outputs)
        if kind == "values" and outputs.shape[1] > 1:
            return [nothing, nothing]
        try:
            said = answers(outputs, outputs, kind, outputs.shape[1], 0, classes)
        except ValueError:  # no probabilities, or not finite: a softmax that is left out, say
            return [nothing, nothing]
        texts = [_text(each if isinstance(each, str) else f"{each:.9g}", None) for each in said[0]]
        return [texts, said[1] if len(said) > 1 else nothing]


def _records(inputs: Any, rows: int) -> list[str]:
    """The inputs of each row, as JSON."""
    if isinstance(inputs, Mapping):
        columns = {str(name): _plain(each, rows) for name, each in inputs.items()}
        return [_json({name: column[row] for name, column in columns.items()}) for row in range(rows)]
    return [_json(row) for row in _plain(inputs, rows)]


def _plain(values: Any, rows: int) -> list[Any]:
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(found) != rows:
        raise ValueError(f"its inputs have {len(found)} rows")
    return found


def _json(value: Any) -> str:
    def plain(each: Any) -> Any:
        if isinstance(each, float):
            return float(f"{each:.9g}") if math.isfinite(each) else None
        if isinstance(each, list | tuple):
            return [plain(inner) for inner in each]
        if isinstance(each, dict):
            return {name: plain(inner) for name, inner in each.items()}
        return each

    return json.dumps(plain(value), default=str)


def _text(value: Any, most: int | None = LONGEST) -> str:
    """A text that any database takes."""
    if isinstance(value, float | np.floating) and value == value // 1:
        value = int(value)
    return str(value).encode(errors="replace").decode().replace("\0", "")[:most]


def _name(what: str, given: Any) -> str:
    name = check_text(f"PredictionLog: {what}", given)
    if not re.fullmatch(r"[^\W\d]\w{0,62}", name):
        raise ValueError(
            f"PredictionLog: {what} must be a name of letters, digits and _, at most 63, got {shown(name)}"
        )
    return name


_names.offer(globals())
