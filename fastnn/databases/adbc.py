"""Rows of a query by ADBC, in record batches: of PostgreSQL, and of any connection of an ADBC driver."""

from __future__ import annotations

import datetime
import decimal
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .arrow_reader import blocks_of
from .arrow_values import Batches
from .native import StreamError
from .reader import check_names, explained
from .statement import QueryReader, driver_values, no_rows, only_select, quoted
from .urls import ServerURL

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .reader import Block, Wanted

_ROWS = 2**16  # of one fetch from a cursor of the server's
_TYPES = (str, bytes, bool, int, float, decimal.Decimal, datetime.date, datetime.time)  # a datetime is a date


class ADBCReader(QueryReader):
    """A query on an open ADBC connection, used as it is, or on a PostgreSQL by its URL, in a transaction that reads.

    params: a sequence, for $1, $2 in PostgreSQL. While rows are read, the connection takes no other query.
    """

    def __init__(self, sql: str, con: Any, params: object = None) -> None:
        self.sql, self._params = only_select(sql, "postgresql"), _bound(params)
        self._url = ServerURL(con) if isinstance(con, str) else None
        self._con: Any = None if self._url else con
        self._server = "PostgreSQL" if self._url else "the database"
        self.threaded = self._url is not None
        self.shared = self._url is not None and not self._url.has_password
        self.address = ("adbc", str(self._url) if self._url else "", repr(self._params), self.sql)
        with self._cursor("the query cannot be used") as cursor:
            [stream] = _run(cursor, no_rows(self.sql), self._params)  # only a SELECT compiles in it
            with closing(stream):
                self.columns = check_names(stream.columns)

    @contextmanager
    def _cursor(self, failed: str) -> Iterator[Any]:
        errors: tuple[type[Exception], ...] = (StreamError, *_errors())
        if self._url is None:
            with explained(failed, self._server, self.sql, errors), self._con.cursor() as cursor:
                yield cursor
            return
        with closing(_connected(self._url)) as connection, explained(failed, self._server, self.sql, errors):
            cursor = connection.cursor()
            try:
                cursor.execute("SET TRANSACTION READ ONLY")
                yield cursor
            finally:
                with suppress(*errors):  # of a connection that is lost
                    cursor.close()

    def asked(self, key: str) -> tuple[Any, ...]:
        con = self._con if self._url is None else self._url.given
        return (
            self.sql,
            quoted(key),
            self._params,
            lambda _, place: f"${place}",
            lambda sql, params: ADBCReader(sql, con, params),
        )

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        with self._cursor("the query failed") as cursor:
            run = _run_in_pieces if self._params and _is_postgresql(cursor) else _run
            with closing(run(cursor, self.sql, self._params)) as streams:
                yield from blocks_of(streams, self.columns, wanted, self._server, self.sql, _errors())


def _errors() -> tuple[type[Exception], ...]:
    try:
        import adbc_driver_manager
    except ImportError as error:
        raise _missing() from error
    return (adbc_driver_manager.Error,)


def _missing() -> ImportError:
    return ImportError('postgresql:// needs ADBC: pip install "fastnn[postgres]"')


def _connected(url: ServerURL) -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise _missing() from error
    try:
        return dbapi.connect(url.of("postgresql"))
    except _errors() as error:
        # Without the error itself, whose words may have the password.
        reason = " ".join(url.hidden(str(error)).split())
        raise ConnectionError(f"cannot connect to {url}; the driver says: {reason}") from None


def _bound(params: object) -> list[Any]:
    """Check values; the driver would crash on others, or say nothing that helps."""
    values = driver_values(params) or []
    if isinstance(values, dict):
        raise TypeError("params must be a sequence, for $1, $2 in the query; ADBC knows no names")
    for number, value in enumerate(values, 1):
        if value is None:
            raise TypeError(f"parameter {number} is None; write NULL in the query")
        if not isinstance(value, _TYPES) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
            raise TypeError(
                f"parameter {number} is a {type(value).__name__}, {value!r}; it must be a text, bytes, a bool, a "
                "number, a whole number of at most 64 bits, a date or a time"
            )
    return values


def _run(cursor: Any, sql: str, params: list[Any]) -> Generator[Batches, None, None]:
    """Run a query; gives its one stream, which is to be closed before the cursor is."""
    cursor.execute(sql, params or None)
    yield Batches(cursor.fetch_arrow().__arrow_c_stream__())


def _is_postgresql(cursor: Any) -> bool:
    """Whether it is PostgreSQL's driver; it no longer reads by COPY then, which takes a SELECT without values alone."""
    try:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
    except _errors():
        return False
    return True


def _run_in_pieces(cursor: Any, sql: str, params: list[Any]) -> Generator[Batches, None, None]:
    """The same for values, with which PostgreSQL's driver would read all rows before it gives the first."""
    cursor.execute(f"DECLARE fastnn_rows NO SCROLL CURSOR FOR {sql}", params)
    try:
        while True:
            [stream] = _run(cursor, f"FETCH {_ROWS} FROM fastnn_rows", [])
            yield stream
            if not stream.total:
                break
    finally:
        with suppress(*_errors()):  # it is no more where the query has failed
            cursor.execute("CLOSE fastnn_rows")
