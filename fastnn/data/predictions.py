"""Predictions for the rows of a query: written into a table of a database, or given batch by batch."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn import _names
from fastnn._checks import check_batch_size, check_text, shown
from fastnn.databases.layout import RUN, Layout, Run, columns_of
from fastnn.databases.mongo import is_mongo
from fastnn.databases.server_table import ServerTable
from fastnn.databases.server_tables import server_connected, server_table
from fastnn.databases.spool import Spool, decoded
from fastnn.databases.sqlite import connected, located
from fastnn.databases.sqlite_table import SQLiteTable
from fastnn.databases.sqlite_writing import transaction
from fastnn.databases.staged import Staged

from .answers import answers, check_choice
from .arguments import checked_null, names_of
from .queried import Queried

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fastnn.databases.mongo_table import MongoTable
    from fastnn.databases.params import Params

    from .several import Several

    Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["write_predictions"]

_KINDS = ("binary", "classes", "values")
_MODES = ("create", "replace", "upsert")


def write_predictions(
    predict: Predict,
    sql: Any,
    con: Any,
    *,
    into: str,
    key: str,
    kind: Literal["classes", "binary", "values"] = "classes",
    params: Params = None,
    null: float | None = None,
    batch_size: int = 8192,
    mode: Literal["create", "replace", "upsert"] = "create",
    to: Any = None,
    model: str | None = None,
    version: str | int | None = None,
    names: Sequence[str] = (),
    inputs: Several | None = None,
    outputs: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    sequence: Any = None,
    identity: bytes | None = None,
) -> int:
    """Write predict(features) for each row of a query into the table `into`; count the rows.

    predict: float32 (rows, features) -> (rows, units); it must not commit on `con`. sql: a SELECT
    of the column `key` and of the features, in the model's order. con, params, null: as in
    SQLDataset; or sql and con are filter and collection of MongoDB as MongoDataset has them, with
    `names` for its fields. to: the database that is written, by default that of the query: an SQLite
    file that is there, or an open connection or URL of SQLite, PostgreSQL (by psycopg 3), MariaDB or
    MySQL (by PyMySQL) or DuckDB, or pymongo's Database. names: what the features must be called, in
    their order, where that is known. inputs: of a model with a front, for which `predict` takes the
    engine's rows. columns: as in SQLDataset, of columns that the query need not have. sequence: as there, so that
    `predict` takes windows, one after the other in a row, and each row of the query has a prediction.

    into: the name of a table. With mode "create" there must be none of that name yet; "replace"
    drops the table that an earlier run has written, with its indexes and triggers, in the
    transaction that writes the new one; "upsert" adds rows to it, in place of those that have
    their keys, and makes it where there is none. Its columns are `key`, declared PRIMARY KEY, by `kind`

    - "classes" (two units or more): prediction, the place of the largest output, or the class that
      it is where the target was a text; probability, that output.
    - "binary" (one unit): prediction, 1 for an output above 0.5 and 0 otherwise; probability,
      that of the prediction: the output p for 1, 1 - p for 0.
    - "values": prediction, the output itself; of several units prediction_0, prediction_1 and so
      on, or what `outputs` calls them; no probability.

    and model, model_version and predicted_at: `model`, `version` (texts, or NULL) and when the run began, in
    ISO 8601 and UTC. Keys are written as they lie in the database, whatever the connection makes of them otherwise.
    In MongoDB the key is _id, and predicted_at a date; an ObjectId that goes elsewhere becomes its text.

    All or nothing: after a failure the database is as it was. Rows and predictions are gathered
    apart, and written in one short transaction at the end; before the work, a look at whether that
    can be. Both wait for other writers as long as the connection's timeout says. Others can read
    all the while, and write but for that transaction and, in a database without WAL, while the
    query runs. On a connection with an open transaction the table becomes part of that, which then
    holds the lock from the beginning on, and its commit is the caller's. In other databases the new table is filled
    under another name, and takes its place at the end; MariaDB and MySQL refuse an open transaction. MongoDB alone adds
    each document of an "upsert" at once: of a run that fails meanwhile some are there, and the next one writes all.

    identity: bytes that differ where `predict` does. With it, a run that is ended after more than a
    second of predicting is gone on with by the next one into the same table: what it has predicted
    is in a file beside the database, "<database>-fastnn-<number>", until then; of a server, in the
    folder where rows are kept. Batches whose keys and features are the same are not predicted again.

    Raises ValueError where `into` exists (with "replace" and "upsert": where it is no table of
    predictions, or the query reads it), for a key that is NULL or comes twice, for outputs that
    are not finite, not of the shape above or, for a probability, outside 0 .. 1, for features of
    other names, and for all that SQLDataset refuses; a query without rows makes an empty table.
    """
    for what, given, known in (("kind", kind, _KINDS), ("mode", mode, _MODES)):
        check_choice(what, given, known)
    if not callable(predict):
        raise TypeError(f"predict must be a function of rows, got {shown(predict)}")
    into, key = (_checked_name(what, given) for what, given in (("into", into), ("key", key)))
    names = names_of("names", names)
    classes = getattr(inputs, "classes", ())  # what is no inputs is refused below
    predicted = columns_of(kind, names_of("outputs", outputs) or ["prediction"], classes)
    if key.lower() in {name.lower() for name in (*dict(predicted), *RUN)}:
        raise ValueError(f"the key {key!r} is a column that is written; rename it with AS")
    null, size = checked_null(null), check_batch_size(batch_size)
    run = Run(
        None if model is None else _checked_name("model", model),
        None if version is None else check_text("version", str(version)),
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    is_sqlite = isinstance(con, str | bytes | os.PathLike) or type(con).__module__ == "sqlite3"
    if isinstance(con, str) and "://" in con:
        is_sqlite = con.startswith("sqlite://")
    if is_sqlite:
        con = located(con)
    target = _target(con, to)

    def work(con: Any, table_of: Callable[[Any], SQLiteTable | ServerTable | MongoTable]) -> int:
        rows = Queried(sql, con, params, key, null, names, inputs, columns, sequence)
        table = table_of(rows.reader)
        if is_mongo(con) and is_mongo(target):  # whose keys may be of types that no other has
            rows.reader.packed = table.packed = True  # type: ignore[union-attr]
        known = kind != "values" or bool(outputs)
        table.look(Layout(key, predicted if known or mode != "upsert" else ()))
        with closing(Spool(rows.width)) as spool:
            for keys, x in rows.batches(size):
                spool.add(keys, x)
            job = _Job(predict, kind, spool, classes)
            layout = Layout(key, predicted if known else columns_of(kind, job.outputs()), spool.ascending)
            staged = Staged(table.beside(), identity, layout, run, table.encoding)
            try:
                job.run(staged)
                table.write(staged)
            except BaseException:
                staged.close(keep=True)
                raise
            staged.close(keep=False)
        return spool.rows

    if server := server_table(target):
        with server_connected(target) as connection:
            # A process has a file of DuckDB's open once.
            source = connection if target is con and str(con).startswith("duckdb:") else con
            return work(source, lambda _: server(connection, into, mode, sql if target is con else None))
    with connected(target, write=True) as connection:

        def sqlite_table(reader: Any) -> SQLiteTable:
            return SQLiteTable(connection, into, mode, reader.query if _are_one(con, target) else None)

        if not _in_transaction(connection):
            return work(con, sqlite_table)
        with transaction(connection):  # before any look at the database, which would be a reader's lock
            return work(con, sqlite_table)


def _target(con: Any, to: Any) -> Any:
    """What is written to: a path or connection of SQLite, or what ``server_table`` knows."""
    import sqlite3

    found = con if to is None else to
    if server_table(found):
        return found
    if isinstance(found, sqlite3.Connection | str | bytes | os.PathLike):
        return located(found)
    raise TypeError(
        f"{'con' if to is None else 'to'} must be a path, a URL or an open connection of sqlite3, psycopg, PyMySQL or "
        f"DuckDB, to be written to, got {type(found).__name__}{'; or pass such a one as to' if to is None else ''}"
    )


class _Job:
    """What predicts, and the rows that are read."""

    def __init__(self, predict: Predict, kind: str, spool: Spool, classes: Sequence[Any]) -> None:
        self._predict, self._kind, self._spool, self._classes = predict, kind, spool, classes
        self._first: NDArray[np.float32] | None = None

    def outputs(self) -> list[str]:
        """What the columns of values are called, of which only the first output tells how many there are."""
        for _, _, x in self._spool.batches():
            self._first = np.asarray(self._predict(x))
            if self._first.ndim == 2 and self._first.shape[1] > 1:
                return [f"prediction_{unit}" for unit in range(self._first.shape[1])]
            break
        return ["prediction"]

    def run(self, staged: Staged) -> None:
        """Predict what is not there yet."""
        known = self._first
        for packed, keys, x in self._spool.batches():
            output, known = known, None
            digest = blake2b(packed, digest_size=16)
            digest.update(x.data)
            if staged.has(digest.hexdigest(), len(keys)):
                continue
            output = self._predict(x) if output is None else output
            width = len(staged.layout.predicted)
            staged.add(digest.hexdigest(), keys, answers(output, x, self._kind, width, staged.rows + 1, self._classes))
        staged.finish()


def predict_rows(
    predict: Predict, sql: Any, con: Any, key: str | None, params: Params, null: Any, batch_size: int, **rows: Any
) -> Iterator[Any]:
    """See ``Model.predict_iter``."""
    if key is not None:
        key = _checked_name("key", key)
    size = check_batch_size(batch_size)
    queried = Queried(sql, con, params, key, checked_null(null), **rows)

    def batches() -> Iterator[Any]:
        with closing(queried.batches(size)) as found:
            for keys, x in found:
                output = predict(x)
                yield output if key is None else (list(map(decoded, keys)), output)

    return batches()


def _are_one(con: object, target: object) -> bool:
    """Whether a query and a table are of one database, as far as can be told."""
    return con is target or (isinstance(con, str) and isinstance(target, str) and os.path.samefile(con, target))


def _in_transaction(connection: sqlite3.Connection) -> bool:
    import sqlite3

    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # it is closed, as the query will say
        return False


def _checked_name(what: str, given: object) -> str:
    name = check_text(what, given)
    if not name:
        raise ValueError(f"{what} must be a name, got an empty text")
    return name


_names.offer(globals())
