"""Predictions for the rows of a query, written into a new table of the same database."""

from __future__ import annotations

import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn import _names
from fastnn._table import check_batch_size

from ._rows import ColumnConverter, Converter, features_of
from ._sqlite import Query, connected, listed, plain_cursor, plain_text, quoted
from .sql import checked_null

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ._sqlite import Connection, Params
    from .several import Several

    Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["write_predictions"]

_COLUMNS = {
    "binary": ("prediction INTEGER NOT NULL", "probability REAL NOT NULL"),
    "classes": ("prediction INTEGER NOT NULL", "probability REAL NOT NULL"),
    "values": ("prediction REAL NOT NULL",),
}


def write_predictions(
    predict: Predict,
    sql: str,
    con: Connection,
    *,
    into: str,
    key: str,
    kind: Literal["classes", "binary", "values"] = "classes",
    params: Params = None,
    null: float | None = None,
    batch_size: int = 1024,
    inputs: Several | None = None,
) -> int:
    """Write predict(features) for each row of a query into the new table `into`; count the rows.

    predict: float32 (rows, features) -> (rows, units); it must not commit on `con`. sql: a SELECT
    of the column `key` and of the features, in the model's order. con, params, null: as in
    SQLDataset; a file must be writable. inputs: of a model with a front, for which `predict` takes the engine's rows.
    into: the name of a table that does not exist yet. Its columns are `key`, declared PRIMARY KEY, and, by `kind`:

    - "classes" (two units or more): prediction, the place of the largest output; probability,
      that output.
    - "binary" (one unit): prediction, 1 for an output above 0.5 and 0 otherwise; probability,
      that of the prediction: the output p for 1, 1 - p for 0.
    - "values" (one unit): prediction, the output itself; no probability.

    All or nothing: after a failure there is no table. On a connection with an open transaction the
    table becomes part of it, and its commit is the caller's; otherwise it is committed here.

    Raises ValueError where `into` exists, for a key that is NULL or comes twice, for outputs that
    are not finite, not of the shape above or, for a probability, outside 0 .. 1, and for all that
    SQLDataset refuses; a query without rows makes an empty table.
    """
    if kind not in _COLUMNS:
        raise ValueError(f"unknown kind {kind!r}{_names.hint(kind, _COLUMNS)}; known kinds: {listed(sorted(_COLUMNS))}")
    _check_name("into", into)
    _check_name("key", key)
    size = check_batch_size(batch_size)
    query = Query(sql, con, params)
    if key not in query.columns:
        raise ValueError(
            f"unknown key {key!r}{_names.hint(key, query.columns)}; the query's columns are {listed(query.columns)}"
        )
    if key.lower() in ("prediction", "probability"):
        raise ValueError(f"the key {key!r} is a column that is written; rename it with AS")
    features = [name for name in query.columns if name != key]
    if not features:
        raise ValueError(f"the query gives the key {key!r} alone; select the features too")
    convert: Converter | ColumnConverter = (
        Converter(query.columns, features, null=checked_null(null))
        if inputs is None
        else ColumnConverter(query.columns, features_of(features, inputs), (), checked_null(null), inputs)
    )
    key_of = operator.itemgetter(query.columns.index(key))

    # One connection reads and writes. With a second one, the write would wait for the lock that
    # the read holds, and would see neither ":memory:" nor what is uncommitted. It is sound because
    # nothing is committed while the read goes on, and the read cannot touch a table that is new.
    with connected(query.con, write=True) as connection, _all_or_nothing(connection):
        _refuse_existing(connection, into)
        table = f"main.{quoted(into)}"
        columns = ", ".join([f"{quoted(key)} NOT NULL PRIMARY KEY", *_COLUMNS[kind]])
        _execute(connection, f"CREATE TABLE {table} ({columns})")
        insert = f"INSERT INTO {table} VALUES (?{', ?' * len(_COLUMNS[kind])})"
        with query.rows(connection) as fetch:
            done = 0
            while rows := fetch(size):
                keys = [key_of(row) for row in rows]
                if None in keys:
                    raise ValueError(
                        f"the key {key!r} is NULL in row {done + keys.index(None) + 1} of the "
                        "query; leave such rows out with WHERE"
                    )
                x = convert(rows, done + 1)
                written = _columns(predict(x), x, kind, done + 1)
                _insert(connection, insert, table, key, keys, written, done)
                done += len(rows)
    return done


@contextmanager
def _all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    # A savepoint, not BEGIN: it nests in a transaction that the user has open.
    nested = connection.in_transaction
    _execute(connection, "SAVEPOINT fastnn_predictions")
    try:
        yield
        _execute(connection, "RELEASE fastnn_predictions")
    except BaseException:
        if nested and connection.in_transaction:
            _execute(connection, "ROLLBACK TO fastnn_predictions")
            _execute(connection, "RELEASE fastnn_predictions")
        elif connection.in_transaction:
            # RELEASE would commit, and fail once more where another process reads the database.
            _execute(connection, "ROLLBACK")
        raise


def _execute(connection: sqlite3.Connection, sql: str, *params: str) -> list[tuple[Any, ...]]:
    import sqlite3

    try:
        with plain_cursor(connection) as cursor, plain_text(connection):
            return cursor.execute(sql, params).fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"the predictions cannot be written; SQLite says: {error}") from error


def _refuse_existing(connection: sqlite3.Connection, into: str) -> None:
    # In every attached database: a new main.into would hide such a table from the query.
    for _, schema, _ in _execute(connection, "PRAGMA database_list"):
        found = _execute(
            connection,
            f"SELECT type FROM {quoted(schema)}.sqlite_master WHERE name = ? COLLATE NOCASE",
            into,
        )
        if found:
            raise ValueError(
                f"the database already has {into!r} ({found[0][0]}); predictions go into "
                "a new table only: give another name, or drop that one first"
            )


def _insert(
    connection: sqlite3.Connection,
    insert: str,
    table: str,
    key: str,
    keys: list[Any],
    columns: list[list[float]],
    done: int,
) -> None:
    import sqlite3

    try:
        with plain_cursor(connection) as cursor:
            cursor.executemany(insert, zip(keys, *columns, strict=True))
    except sqlite3.IntegrityError as error:
        [(count,)] = _execute(connection, f"SELECT count(*) FROM {table}")
        raise ValueError(
            f"the key {key!r} is {keys[count - done]!r} in row {count + 1} of the query and in an "
            "earlier row; a key must name one row"
        ) from error
    except sqlite3.Error as error:
        raise ValueError(f"the predictions cannot be written; SQLite says: {error}") from error


def _columns(output: NDArray[np.float32], x: NDArray[np.float32], kind: str, first: int) -> list[list[float]]:
    """Turn the outputs of a batch into the columns behind the key."""
    output = np.asarray(output, dtype=np.float64)
    if output.ndim != 2 or len(output) != len(x) or output.shape[1] == 0:
        raise ValueError(f"predict must return ({len(x)}, units) for x of shape {x.shape}, got {output.shape}")
    units = output.shape[1]
    if kind == "classes" and units == 1:
        raise ValueError('predict returned one unit; say kind="binary" or kind="values"')
    if kind != "classes" and units > 1:
        raise ValueError(f'predict returned {units} units; kind={kind!r} has one: say "classes"')
    if kind == "values":
        bad, expected = ~np.isfinite(output), "finite numbers"
    else:
        # Written so that NaN is bad too.
        bad, expected = ~((output >= 0) & (output <= 1)), "probabilities, from 0 to 1"
    if bad.any():
        row, unit = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"kind={kind!r} expects {expected}, but predict returned {output[row, unit]:g} for "
            f"row {first + row} of the query; check the features and the last activation"
        )
    if kind == "values":
        return [output[:, 0].tolist()]
    if kind == "binary":
        ones = output[:, 0] > 0.5
        return [ones.astype(int).tolist(), np.where(ones, output[:, 0], 1 - output[:, 0]).tolist()]
    return [output.argmax(axis=1).tolist(), output.max(axis=1).tolist()]


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, got {type(name).__name__}")
    if not name or "\0" in name:
        raise ValueError(f"{what} must be a name without a null character, got {name!r}")
