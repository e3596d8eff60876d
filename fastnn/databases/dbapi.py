"""Rows of a query by any driver of Python's DB-API, by a cursor of the server's where the driver has one."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .reader import Reader, check_names, check_unchanged, explained
from .rows import RowConverter
from .sqlite import SQLiteReader
from .statement import QueryReader, driver_values, no_rows, only_select, quoted
from .urls import ServerURL

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .reader import Block, Wanted

# Blocks that are fetched at once: each fetch asks the server.
_BLOCKS = 16

_SERVERS = {"psycopg": "PostgreSQL", "psycopg2": "PostgreSQL", "pymysql": "MySQL", "MySQLdb": "MySQL", "mysql": "MySQL"}
_MARKS = {"qmark": "?", "numeric": ":{place}", "named": ":{name}", "format": "%s", "pyformat": "%s"}
_UNBUFFERED = ("pymysql", "MySQLdb")
_number = itertools.count(1)


class CursorReader(QueryReader):
    """A query on a connection that `lend` lends, a function that gives a context manager of it.

    params: as the driver takes them. con: what the connection is called in `address`. owned: a pass may close it. While
    rows are read, a connection to MySQL takes no other query.
    """

    def __init__(
        self,
        sql: str,
        lend: Callable[[], AbstractContextManager[Any]],
        params: object,
        con: Hashable,
        *,
        threaded: bool = False,
        shared: bool = False,
        owned: bool = False,
    ) -> None:
        self._lend, self._params, self._owned = lend, driver_values(params), owned
        self.threaded, self.shared = threaded, shared
        with lend() as connection:
            self._driver = type(connection).__module__.partition(".")[0]
            self._server = _SERVERS.get(self._driver, "the database")
            self.sql = only_select(sql, self._server.lower() if self._driver in _SERVERS else "other")
            self.address = ("dbapi", con, repr(self._params), self.sql)
            self._style = _of_driver(connection, "paramstyle")
            with (
                self._explained("the query cannot be used", connection),
                _kept(connection, self._driver),
                closing(connection.cursor()) as cursor,
            ):
                # Only a SELECT compiles in it; unprepared, as a plan that psycopg kept would outlive a table's columns.
                self._execute(cursor, no_rows(self.sql), **{"prepare": False} if self._driver == "psycopg" else {})
                self.columns = check_names([column[0] for column in cursor.description])
                cursor.fetchmany(1)  # mysql.connector wants all rows to be taken, be there none

    def _explained(self, what: str, connection: Any) -> Any:
        return explained(what, self._server, self.sql, (_of_driver(connection, "Error") or Exception, OSError))

    def _execute(self, cursor: Any, sql: str, **how: Any) -> None:
        # Without values a driver leaves the percent signs of the query alone.
        cursor.execute(sql, *([self._params] if self._params else []), **how)

    def asked(self, key: str) -> tuple[Any, ...]:
        sql, name = self.sql, quoted(key, "`" if self._server == "MySQL" else '"')
        if self._style not in _MARKS:
            return ()
        named = isinstance(self._params, dict) and "format" in self._style
        form = "%({name})s" if named else _MARKS[self._style]
        # Where values are bound a percent sign is written twice; mysql.connector looks for its marks alone.
        twice = "format" in self._style and self._driver != "mysql"
        if twice:
            sql, name = sql if self._params else sql.replace("%", "%%"), name.replace("%", "%%")

        def like(sql: str, params: Any) -> CursorReader:
            if twice and not params:
                sql = sql.replace("%%", "%")
            return CursorReader(
                sql,
                self._lend,
                params,
                self.address[1],
                threaded=self.threaded,
                shared=self.shared,
                owned=self._owned,
            )

        return (sql, name, self._params, lambda name, place: form.format(name=name, place=place), like)

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        convert, rows = RowConverter(self.columns, wanted), 0
        size = convert.rows_at_once * _BLOCKS
        with self._lend() as connection, ExitStack() as stack:
            with self._explained("the query failed", connection):
                stack.enter_context(_kept(connection, self._driver))
                cursor = _streaming(connection, self._driver, size)
            try:
                with self._explained("the query failed", connection):
                    self._execute(cursor, self.sql)
                while True:
                    with self._explained(f"the query failed after {rows} rows", connection):
                        fetched = cursor.fetchmany(size)
                    if rows == 0 and cursor.description is not None:
                        check_unchanged(self.columns, [column[0] for column in cursor.description])
                    if not fetched:
                        return
                    for at in range(0, len(fetched), convert.rows_at_once):
                        block = convert(fetched[at : at + convert.rows_at_once], rows + 1)
                        rows += len(block.numbers)
                        for column in block.others:
                            for place, value in enumerate(column):
                                if isinstance(value, bytearray | memoryview):
                                    column[place] = bytes(value)
                        yield block
            except GeneratorExit:
                pass  # so that no transaction is rolled back
            finally:
                with suppress(Exception):  # of a connection that is lost
                    self._leave(connection, cursor)
                if self._driver in _UNBUFFERED:
                    # Else they would try once more to read the rest, where they are freed.
                    cursor.connection = None
                    vars(vars(cursor).get("_result") or cursor)["unbuffered_active"] = False

    def _leave(self, connection: Any, cursor: Any) -> None:
        if self._owned:
            connection.close()  # MySQL's cursor would read the rest first
            return
        while self._driver == "mysql" and cursor.fetchmany(_BLOCKS):
            pass
        cursor.close()


def _of_driver(connection: Any, attribute: str) -> Any:
    """What the DB-API asks of a driver: an attribute of the connection, or of a package that it is of."""
    name = type(connection).__module__
    homes = [sys.modules.get(name.rsplit(".", n)[0]) for n in range(name.count(".") + 1)]
    return next((found for home in (connection, *homes) if (found := getattr(home, attribute, None)) is not None), None)


def _kept(connection: Any, driver: str) -> Any:
    """What keeps a failed query from ending the transaction that the user is in, and a query from beginning one."""
    return connection.transaction() if driver == "psycopg" else nullcontext()


def _streaming(connection: Any, driver: str, size: int) -> Any:
    """A cursor that fetches rows as they are asked for, as tuples, whatever the connection has been told."""
    if driver == "psycopg":
        from psycopg.rows import tuple_row

        return connection.cursor(f"fastnn_{next(_number)}", row_factory=tuple_row)
    if driver == "psycopg2":
        from psycopg2.extensions import cursor as plain

        found = connection.cursor(f"fastnn_{next(_number)}", cursor_factory=plain, withhold=connection.autocommit)
        found.itersize = size
        return found
    if driver in _UNBUFFERED:
        from importlib import import_module

        return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    found = connection.cursor(buffered=False) if driver == "mysql" else connection.cursor()
    with suppress(AttributeError):
        found.arraysize = size
    return found


def connection_reader(sql: str, con: Any, params: object = None) -> CursorReader:
    """A query on an open connection, which is used as it is."""
    return CursorReader(sql, partial(nullcontext, con), params, "")


def mysql_reader(sql: str, url: str, params: object = None) -> CursorReader:
    """A query on a MySQL or MariaDB, on a connection of its own that only reads. params: for %s or %(name)s."""
    at = ServerURL(url)
    return CursorReader(
        sql, partial(_mysql, at), params, str(at), threaded=True, shared=not at.has_password, owned=True
    )


@contextmanager
def _mysql(url: ServerURL) -> Iterator[Any]:
    try:
        import pymysql
    except ImportError as error:
        raise ImportError(f'{url.dialect}:// needs PyMySQL: pip install "fastnn[mysql]"') from error
    options = {"charset": "utf8mb4", "init_command": "SET SESSION TRANSACTION READ ONLY", **url.parts()}
    try:
        connection = pymysql.connect(**options)
    except (pymysql.Error, OSError, TypeError) as error:
        # Without the error itself, whose words may have the password.
        raise ConnectionError(f"cannot connect to {url}; the driver says: {url.hidden(str(error))}") from None
    try:
        yield connection
    finally:
        with suppress(Exception):  # it may be lost, or closed
            connection.close()


def alchemy_reader(sql: str, con: Any, params: Any = None) -> Reader:
    """A query by SQLAlchemy, on an Engine, on a Connection, used as it is, or on a URL.

    params: a mapping for :name in the query, or a sequence as the driver takes it.
    """
    try:
        import sqlalchemy
    except ImportError as error:
        what = ServerURL(con) if isinstance(con, str) else "this"
        raise ImportError(f'{what} needs SQLAlchemy: pip install "fastnn[sqlalchemy]"') from error
    if isinstance(con, str):
        con = _engine(ServerURL(con))
    is_engine = isinstance(con, sqlalchemy.Engine)
    if isinstance(params, Mapping):
        compiled = sqlalchemy.text(sql).compile(dialect=con.dialect)
        with explained("the values cannot be bound", "SQLAlchemy", sql, (sqlalchemy.exc.SQLAlchemyError,)):
            values = compiled.construct_params(driver_values(params))
        sql, places = str(compiled), compiled.positiontup
        params = values if places is None else [values[name] for name in places]
    if con.dialect.name == "sqlite":
        file = con.engine.url.database
        if is_engine and file not in (None, "", ":memory:") and not con.engine.url.query:
            return SQLiteReader(sql, file, params)
        con = con.raw_connection() if is_engine else con.connection
        return SQLiteReader(sql, con.driver_connection, params)
    lend = partial(_from_pool, con) if is_engine else partial(nullcontext, con.connection.driver_connection)
    address = con.engine.url.render_as_string(hide_password=True) if is_engine else ""
    return CursorReader(sql, lend, params, address, threaded=is_engine)


def _engine(url: ServerURL) -> Any:
    import sqlalchemy

    try:
        return sqlalchemy.create_engine(url.given)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise ValueError(f"SQLAlchemy does not know {url}; it says: {url.hidden(str(error))}") from None
    except ImportError as error:
        raise ImportError(f"{url} needs a driver: {url.hidden(str(error))}") from None


@contextmanager
def _from_pool(engine: Any) -> Iterator[Any]:
    with closing(engine.raw_connection()) as connection:
        yield connection.driver_connection
