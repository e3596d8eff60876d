"""Predictions for the rows of a query, written into a table of the same database."""

from __future__ import annotations

import operator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastnn import _names
from fastnn._checks import check_batch_size, check_text, shown
from fastnn.databases.gathered import Gathered, cannot_be_written, execute
from fastnn.databases.reader import listed
from fastnn.databases.rows import RowConverter
from fastnn.databases.sqlite import Query, connected, located, plain_cursor, quoted

from ._front import Fronted, Picked, features_of
from .source import check_names
from .stored import checked_null, names_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastnn.databases.params import Params
    from fastnn.databases.sqlite import Connection

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
    mode: Literal["create", "replace"] = "create",
    names: Sequence[str] = (),
    inputs: Several | None = None,
) -> int:
    """Write predict(features) for each row of a query into the table `into`; count the rows.

    predict: float32 (rows, features) -> (rows, units); it must not commit on `con`. sql: a SELECT
    of the column `key` and of the features, in the model's order. con, params, null: as in
    SQLDataset; a file must be writable. names: what the features must be called, in their order,
    where that is known. inputs: of a model with a front, for which `predict` takes the
    engine's rows. into: the name of a table. With mode "create" there must be none of that
    name yet; "replace" drops the table that an earlier run has written, with its indexes and
    triggers, in the transaction that writes the new one. Its columns are `key`, declared PRIMARY
    KEY, and, by `kind`:

    - "classes" (two units or more): prediction, the place of the largest output; probability,
      that output.
    - "binary" (one unit): prediction, 1 for an output above 0.5 and 0 otherwise; probability,
      that of the prediction: the output p for 1, 1 - p for 0.
    - "values" (one unit): prediction, the output itself; no probability.

    Keys are written as they lie in the database, whatever the connection makes of them otherwise.

    All or nothing: after a failure the database is as it was. Rows and predictions are gathered
    apart, in a temporary file of SQLite's, and written in one short transaction at the end; before
    the work, a look at whether that can be. Both wait for other writers as long as the connection's
    timeout says. Others can read all the while, and write but for that transaction and, in a
    database without WAL, while the query runs. On a connection with an open transaction the table
    becomes part of that, which then holds the lock from the beginning on, and its commit is the
    caller's.

    Raises ValueError where `into` exists (with "replace": where it is no table of predictions, or
    the query reads it), for a key that is NULL or comes twice, for outputs that are not finite, not
    of the shape above or, for a probability, outside 0 .. 1, for features of other names, and for
    all that SQLDataset refuses; a query without rows makes an empty table.
    """
    for what, given, known in (("kind", kind, _COLUMNS), ("mode", mode, ("create", "replace"))):
        if not isinstance(given, str) or given not in known:
            raise ValueError(
                f"unknown {what} {shown(given)}{_names.hint(given, known)}; known {what}s: {listed(sorted(known))}"
            )
    if not callable(predict):
        raise TypeError(f"predict must be a function of rows, got {shown(predict)}")
    if inputs is not None and not hasattr(inputs, "shapes"):
        raise TypeError(f"inputs must be those of a model, got {shown(inputs)}")
    into, key = (_checked_name(what, given) for what, given in (("into", into), ("key", key)))
    names = names_of("names", names)
    size = check_batch_size(batch_size)
    null = checked_null(null)
    con = located(con)

    def job() -> _Job:
        query = Query(sql, con, params)
        if key not in query.columns:
            raise ValueError(
                f"unknown key {key!r}{_names.hint(key, query.columns)}; the query's columns are {listed(query.columns)}"
            )
        if key.lower() in ("prediction", "probability"):
            raise ValueError(f"the key {key!r} is a column that is written; rename it with AS")
        features = tuple(name for name in query.columns if name != key)
        if not features:
            raise ValueError(f"the query gives the key {key!r} alone; select the features too")
        check_names(names, features, "the query")
        take: Picked | Fronted
        if inputs is None:
            take = Picked(features, (), null)
        else:
            take = Fronted(features_of(features, inputs), (), null, inputs)
        return _Job(query, predict, take, _Target(into, key, kind, mode, query))

    with connected(con, write=True) as connection, closing(Gathered(len(_COLUMNS[kind]))) as gathered:
        if _in_transaction(connection):
            with _transaction(connection):  # before any look at the database, which would be a reader's lock
                work = job()
                work.target.make(connection)
                work.read(gathered, connection, size)
                count = work.predict_all(gathered)
                work.target.fill(connection, gathered)
            return count
        work = job()
        with _transaction(connection, keep=False):
            work.target.check(connection)
            _write_nothing(connection)
        work.read(gathered, connection, size)
        count = work.predict_all(gathered)
        with _transaction(connection):
            work.target.make(connection)
            work.target.fill(connection, gathered)
    return count


class _Job:
    """What is predicted, and into which table."""

    def __init__(self, query: Query, predict: Predict, take: Picked | Fronted, target: _Target) -> None:
        self.query, self.predict, self.take, self.target = query, predict, take, target

    def read(self, gathered: Gathered, connection: sqlite3.Connection, size: int) -> None:
        """Run the query to its end: while it runs, nobody else may write where the database has no WAL."""
        target = self.target
        key_of = operator.itemgetter(self.query.columns.index(target.key))
        done, convert = 0, RowConverter(self.query.columns, self.take.wanted)
        with self.query.rows(connection) as fetch:
            while rows := fetch(size):
                keys = [key_of(row) for row in rows]
                if None in keys:
                    raise ValueError(
                        f"the key {target.key!r} is NULL in row {done + keys.index(None) + 1} of the query; leave such "
                        "rows out with WHERE"
                    )
                gathered.add(keys, self.take(convert(rows, done + 1), done + 1))
                done += len(rows)

    def predict_all(self, gathered: Gathered) -> int:
        """Predict the rows that were read; count them."""
        done = 0
        for block in gathered.blocks():
            x = np.frombuffer(bytearray(block), np.float32).reshape(-1, self.take.width)
            gathered.predicted(_columns(self.predict(x), x, self.target.kind, done + 1))
            done += len(x)
        return done


class _Target:
    """The table that is written."""

    def __init__(self, into: str, key: str, kind: str, mode: str, query: Query) -> None:
        self.key, self.kind = key, kind
        self._into, self._replace, self._query = into, mode == "replace", query
        self._table = f"main.{quoted(into)}"
        columns = ", ".join([f"{quoted(key)} NOT NULL PRIMARY KEY", *_COLUMNS[kind]])
        self._create = f"CREATE TABLE {self._table} ({columns})"
        # No numbered question marks: some versions of sqlite3 take them for names.
        key_as_it_was = "CASE ? WHEN 1 THEN CAST(? AS TEXT) ELSE ? END"
        self._insert = f"INSERT INTO {self._table} VALUES ({key_as_it_was}{', ?' * len(_COLUMNS[kind])})"

    def check(self, connection: sqlite3.Connection) -> bool:
        """Whether there is a table to be replaced; ValueError where the new one cannot be made."""
        found = False
        # In every attached database: a new main.into would hide such a table from the query.
        for _, schema, _ in execute(connection, "PRAGMA database_list"):
            of_that_name = execute(
                connection,
                f"SELECT type FROM {quoted(schema)}.sqlite_master WHERE name = ? COLLATE NOCASE",
                self._into,
            )
            if of_that_name and self._replace and schema == "main" and of_that_name[0][0] == "table":
                self._check_replaceable(connection)
                found = True
            elif of_that_name:
                raise ValueError(
                    f"the database already has {self._into!r} ({of_that_name[0][0]}); predictions go into "
                    "a new table only: give another name, or drop that one first, or say "
                    'mode="replace" where it has earlier predictions'
                )
        if not found:
            execute(connection, f"EXPLAIN {self._create}")
        return found

    def _check_replaceable(self, connection: sqlite3.Connection) -> None:
        columns = [name for (name,) in execute(connection, "SELECT name FROM pragma_table_info(?)", self._into)]
        if columns[1:] not in (["prediction"], ["prediction", "probability"]):
            raise ValueError(
                f"the table {self._into!r} has the columns {listed(columns)}, which predictions do not have, so "
                "it is not replaced: give another name, or drop it first"
            )
        pages = execute(
            connection, "SELECT rootpage FROM main.sqlite_master WHERE tbl_name = ? COLLATE NOCASE", self._into
        )
        if self._query.reads(connection, {page for (page,) in pages}):
            raise ValueError(
                f"the query reads the table {self._into!r}, which would be replaced; write into another one"
            )

    def make(self, connection: sqlite3.Connection) -> None:
        """Make the table, in place of the one that is replaced."""
        if self.check(connection):
            execute(connection, f"DROP TABLE {self._table}")
        execute(connection, self._create)

    def fill(self, connection: sqlite3.Connection, gathered: Gathered) -> None:
        """Write all rows."""
        import sqlite3

        try:
            with plain_cursor(connection) as cursor:
                cursor.executemany(self._insert, gathered.rows())
        except sqlite3.IntegrityError as error:
            [(count,)] = execute(connection, f"SELECT count(*) FROM {self._table}")
            raise ValueError(
                f"the key {self.key!r} is {gathered.key(count + 1)!r} in row {count + 1} of the query and in an "
                "earlier row; a key must name one row"
            ) from error
        except sqlite3.Error as error:
            raise cannot_be_written(error) from error


def _in_transaction(connection: sqlite3.Connection) -> bool:
    import sqlite3

    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # it is closed, as the query will say
        return False


@contextmanager
def _transaction(connection: sqlite3.Connection, *, keep: bool = True) -> Iterator[None]:
    """All or nothing, with the lock of a writer from the beginning on. keep: whether what was done stays.

    A lock that a reader asks for later is not waited for: SQLite says at once that the database is locked.
    """
    nested = connection.in_transaction  # then a savepoint, and a first statement that writes
    execute(connection, "SAVEPOINT fastnn_predictions" if nested else "BEGIN IMMEDIATE")
    try:
        if nested:
            execute(connection, 'CREATE TABLE main."fastnn takes the lock" (x)')
            execute(connection, 'DROP TABLE main."fastnn takes the lock"')
        yield
        execute(connection, "RELEASE fastnn_predictions" if nested else "COMMIT" if keep else "ROLLBACK")
    except BaseException:
        if nested and connection.in_transaction:
            execute(connection, "ROLLBACK TO fastnn_predictions")
            execute(connection, "RELEASE fastnn_predictions")
        elif connection.in_transaction:
            execute(connection, "ROLLBACK")
        raise


def _write_nothing(connection: sqlite3.Connection) -> None:
    """ValueError where the database cannot be written, of which a lock says nothing."""
    [(number,)] = execute(connection, "PRAGMA main.user_version")
    execute(connection, f"PRAGMA main.user_version = {number}")


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


def _checked_name(what: str, given: object) -> str:
    name = check_text(what, given)
    if not name:
        raise ValueError(f"{what} must be a name, got an empty text")
    return name


_names.offer(globals())
