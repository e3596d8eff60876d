"""What a service does behind its answers: these kept in a table, the inputs compared, the quality looked at."""

from __future__ import annotations

import atexit
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_count, shown
from fastnn.data.answers import answers
from fastnn.models.by_rows import by_rows
from fastnn.registry.database import Database, Session
from fastnn.serve.drift import NOTE, Drift

if TYPE_CHECKING:
    from fastnn.serve.monitor import Monitored

__all__ = ["Observer", "PredictionLog", "observe"]

SAMPLE = 256  # rows of a request that are compared: others wait meanwhile
BEFORE = ["predicted_at", "model", "model_version", "request", "place"]  # the key
BEHIND = ["prediction", "probability", "outputs", "inputs"]
ROWS = 80  # of one statement: SQLite may bind no more than 999 values


class PredictionLog:
    """Writes answers into a table, in batches, from a thread of its own; ``close``, or the end of ``with``, writes all.

    database: a path or URL as ``fastnn.registry.open`` takes it. table: made where there is none, with predicted_at (in
    UTC, ISO 8601), model, model_version, request, place (of a row in it), `key`, prediction (a class, or a number; NULL
    of several), probability (of the class), outputs and inputs (JSON). inputs: whether to keep these, which may be
    personal. most: rows that may wait; others are dropped. seconds: between two batches.

    `written`, `dropped`, `waiting`: how many rows; `error`: what went wrong last. Raises ValueError where the table
    cannot be written or is another's, and ImportError where a driver is missing.
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
        for name in (table, key):
            if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w{0,62}", name):
                raise ValueError(
                    f"PredictionLog: table and key must be names of letters, digits and _, got {shown(name)}"
                )
        if key.lower() in BEFORE + BEHIND:
            raise ValueError(f"PredictionLog: key {key!r} is another column of the table")
        self._columns = [*BEFORE, key, *BEHIND]
        self._seconds = as_number("PredictionLog: seconds", seconds)
        if not 0 < self._seconds < 10**6:
            raise ValueError(f"PredictionLog: seconds must be above 0, got {shown(seconds)}")
        self._table, self._inputs, self._most = table, inputs, check_count("PredictionLog: most", most)
        if hasattr(database, "cursor"):
            raise TypeError("PredictionLog: database must be a path or a URL: an open connection is of one thread")
        self._database = Database(database, timeout=10.0)
        self.written = self.dropped = self.waiting = 0
        self.error: str | None = None
        self._items, self._lock, self._wake, self._closing = deque[Any](), Lock(), Event(), False
        self._insert([])
        self._thread = Thread(target=self._run, name="fastnn predictions", daemon=True)
        self._thread.start()
        atexit.register(self.close)

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
        """Take what `model` predicted; gives whether there was room. It never waits.

        name, version: of the model, as the table says it. keys: what names each row. inputs: an array, or columns by
        name. All are read later: do not change them.
        """
        parts = [*outputs.values()] if isinstance(outputs, Mapping) else outputs
        parts = [parts] if hasattr(parts, "shape") else parts
        rows = len(parts[0])
        item = (rows, datetime.now(UTC), model, parts, name, version, request, keys, inputs if self._inputs else None)
        with self._lock:
            if self._closing or self.waiting + rows > self._most:
                self.dropped += rows
                return False
            self.waiting += rows
            self._items.append(item)
            if 2 * self.waiting > self._most:
                self._wake.set()
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits, and end; what could not be written in so many seconds is dropped."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        atexit.unregister(self.close)
        with self._lock:
            self.dropped, self.waiting = self.dropped + self.waiting, 0
            self._items.clear()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Names, labels and values as Prometheus has them."""
        for name in ("written", "dropped", "waiting"):
            yield f"fastnn_predictions_{name}", {}, float(getattr(self, name))

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._seconds)
            self._wake.clear()
            done = True
            while self._items and (done := self._write()):
                pass
            if not done:
                self._wake.wait(10 * self._seconds)
        while self._items and self._write():
            pass

    def _write(self) -> bool:
        """Write some of what waits; False where the database refuses it, so that it goes on waiting."""
        with self._lock:
            items = [*islice(self._items, 1000)]
        kept = [*chain.from_iterable(map(self._rows, items))]
        try:
            self._insert(kept)
        except Exception as error:
            self.error = str(error)
            return False
        rows = sum(item[0] for item in items)
        with self._lock:
            if not self._items:  # `close` has given it up
                return False
            for _ in items:
                self._items.popleft()
            self.waiting -= rows
            self.written += len(kept)
            self.dropped += rows - len(kept)
        return True

    def _insert(self, rows: list[Any]) -> None:
        def work(session: Session) -> None:
            kind = session.kind
            quote = "`" if kind.makes_commit else '"'
            table, *names = (f"{quote}{name}{quote}" for name in (self._table, *self._columns))
            if not session.run(kind.there, table if "regclass" in kind.there else self._table):
                types = [kind.name] * 4 + ["BIGINT", kind.text, kind.text, "DOUBLE PRECISION", kind.text, kind.text]
                declared = ", ".join(map(" ".join, zip(names, types, strict=True)))
                session.run(f"CREATE TABLE IF NOT EXISTS {table} ({declared}){kind.table}")
            elif not rows and (lacking := {*map(str.lower, self._columns)} - session.columns(table)):
                raise ValueError(
                    f"the table {self._table!r} of {self._database.address} is no log of predictions: it has no "
                    f"{', '.join(sorted(lacking))}; choose another name"
                )
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                # NULL stands in the text: not every driver knows the type of a value that is none.
                marks = (", ".join("NULL" if each is None else "?" for each in row) for row in part)
                values = (each for each in chain.from_iterable(part) if each is not None)
                session.run(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({'), ('.join(marks)})", *values)

        self._database.do(f"predictions cannot be written into {self._table!r}", work, write=True)

    def _rows(self, item: Any) -> list[Any]:
        """The rows of a request as the table has them; none where its parts do not go together."""
        rows, at, model, parts, name, version, request, keys, inputs = item
        try:
            table = np.concatenate([np.asarray(each, np.float64).reshape(rows, -1) for each in parts], axis=1)
            said = _said(model, table)
            keys, kept = [None] * rows if keys is None else keys, list[Any]([None] * rows)
            if isinstance(inputs, Mapping):
                columns = [_listed(each) for each in inputs.values()]
                kept = [_json(dict(zip(inputs, row, strict=True))) for row in zip(*columns, strict=True)]
            elif inputs is not None:
                kept = [*map(_json, _listed(inputs))]
            label = [at.isoformat(), *(_text(each, 255) for each in (name or model.name, version, request))]
            each = zip(map(_text, keys), *said, map(_json, table.tolist()), kept, strict=True)
            return [[*label, place, *row] for place, row in enumerate(each)]
        except Exception as error:
            self.error = f"an answer of {rows} rows cannot be kept: {error}"
            return []


def _said(model: Any, outputs: Any) -> list[list[Any]]:
    """The columns prediction and probability; None for what is not finite, of several numbers, and for logits."""
    kind, units, known = by_rows(model, "predictions").kind, outputs.shape[1], np.isfinite(outputs).all(axis=1)
    said: list[Any] = []
    if kind != "values" or units == 1:
        with suppress(ValueError):
            classes = model.description.notes.get("classes", ())
            said = answers(np.where(known[:, None], outputs, 0), outputs, kind, units, 0, classes)
    said = [[each if k else None for each, k in zip(column, known, strict=True)] for column in said]
    said += [[None] * len(outputs)] * (2 - len(said))
    return [[*map(_text, said[0])], said[1]]


def _listed(values: Any) -> Any:
    return values.tolist() if hasattr(values, "tolist") else values


def _json(value: Any) -> str:
    return json.dumps(_plain(value), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value


def _text(value: Any, most: int | None = None) -> str | None:
    """A text that any database takes."""
    if isinstance(value, float | np.floating):
        value = f"{value:.9g}" if value % 1 else int(value)
    return None if value is None else str(value).encode(errors="replace").decode().replace("\0", "")[:most]


class Observer:
    """A hook of ``fastnn.serve.app``, and a collector of prometheus_client; see ``observe``.

    models: the service's; versions with a ``drift.reference`` are compared, by at most 256 rows of a request. log: what
    keeps the answers. judge: gives what ``monitor`` gives, in a thread of its own every so many seconds, `every`;
    `quality` is what it gave last, and `error` why it gave none. hooks: of the application, of which it is one while
    there is anything to keep or to compare. settings: of ``Drift``.
    """

    def __init__(
        self,
        models: Any,
        log: PredictionLog | None = None,
        judge: Callable[[], Monitored] | None = None,
        every: float = 3600.0,
        hooks: list[Any] | None = None,
        **settings: Any,
    ) -> None:
        self.log, self._settings, self._ended = log, settings, Event()
        self.quality: Monitored | None = None
        self.error: str | None = None
        self._versions: dict[tuple[str, str], tuple[Any, Drift | None]] = {}
        self._hooks: list[Any] = [] if hooks is None else hooks
        models.listeners.append(self._changed)
        for served in models.served():
            self._changed("loaded", served)
        if judge is not None:
            Thread(target=self._run, args=(judge, every), name="fastnn monitor", daemon=True).start()

    def _changed(self, event: str, served: Any) -> None:
        place, model = (served.name, served.version), served.model
        if event == "loaded":
            drift = None
            try:
                drift = Drift(model, **self._settings) if NOTE in model.description.notes else None
            except ValueError as error:  # it is served all the same
                self.error = str(error)
            self._versions[place] = model, drift
        elif self._versions.get(place, (None,))[0] is model:
            del self._versions[place]
        is_wanted, is_there = self.log is not None or bool(self._drifts()), self in self._hooks
        if is_wanted != is_there:  # what no one wants would cost each answer a call
            (self._hooks.remove if is_there else self._hooks.append)(self)

    def __call__(self, said: Any) -> None:
        """Take an answer into account: a ``Prediction``."""
        place = said.model, said.version
        model, drift = self._versions.get(place, (None, None))
        if model is not None and self.log is not None:
            names = dict(zip(("name", "version"), place, strict=True))
            keys = said.parameters.get("keys")
            self.log.add(model, said.outputs, **names, request=said.request_id, keys=keys, inputs=said.inputs)
        if drift is not None:
            step = 1 + (len(next(iter(said.inputs.values()))) - 1) // SAMPLE
            drift.add({name: array[::step] for name, array in said.inputs.items()})

    def report(self) -> dict[str, Any]:
        """What is known, as JSON has it: `drift` of each version, `quality`, `log` and `error`."""
        log = self.log and {name: getattr(self.log, name) for name in ("written", "dropped", "waiting", "error")}
        drift = [{"model": m, "version": v, **each.report()} for (m, v), each in self._drifts()]
        return {"drift": drift, "quality": self.quality and self.quality.to_json(), "log": log, "error": self.error}

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Names, labels and values as Prometheus has them."""
        for (model, version), drift in self._drifts():
            for name, labels, value in drift.gauges():
                yield name, {"model": model, "version": version, **labels}, value
        for each in (self.log, self.quality):
            yield from () if each is None else each.gauges()

    def collect(self) -> Any:
        """The same for a registry of prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        found: dict[str, Any] = {}
        for name, labels, value in self.gauges():
            family = found.setdefault(name, GaugeMetricFamily(name, name, labels=list(labels)))
            family.add_metric(list(labels.values()), value)
        return found.values()

    def close(self) -> None:
        """Judge no more, and write what the log has."""
        self._ended.set()
        if self.log is not None:
            self.log.close()

    def _drifts(self) -> list[tuple[tuple[str, str], Drift]]:
        return [(place, drift) for place, (_, drift) in sorted(dict(self._versions).items()) if drift is not None]

    def _run(self, judge: Callable[[], Monitored], every: float) -> None:
        while not self._ended.is_set():
            try:
                self.quality, self.error = judge(), None
            except Exception as error:  # the service goes on
                self.error = str(error)
            self._ended.wait(every)


def observe(
    application: Any,
    database: Any = None,
    *,
    table: str = "fastnn_predictions",
    key: str = "row_key",
    inputs: bool = False,
    truth: str | None = None,
    every: float = 3600.0,
    **settings: Any,
) -> Observer:
    """Have an `Observer` of an application of ``fastnn.serve.app``, as a hook of it and in its metrics.

    database, table, key, inputs: of the ``PredictionLog``; None for none. truth: for ``monitor``. settings: of `Drift`.
    """
    log = None if database is None else PredictionLog(database, table, key=key, inputs=inputs)
    judge = None
    if truth is not None:
        from fastnn.serve.monitor import monitor

        judge = partial(monitor, table, truth, key=key, database=database)
    observer = Observer(application.models, log, judge, every, application.hooks, **settings)
    application.closing.append(observer.close)
    if application.meter is not None:
        application.meter.registry.register(observer)
    return observer


_names.offer(globals())
