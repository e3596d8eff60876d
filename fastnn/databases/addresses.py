"""What a user calls a database, to a reader of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .reader import Wanted
from .sqlite import SQLiteReader
from .statement import quoted
from .urls import ServerURL

if TYPE_CHECKING:
    from .reader import Reader


def reader_of(sql: str | None, con: Any, params: Any = None) -> Reader:
    """A reader of a query, or of an Arrow stream.

    con: an open sqlite3.Connection, the path of an SQLite file or sqlite:///path; an open DuckDB connection or
    duckdb:///path; postgresql://user@host/database or an open ADBC connection; mysql:// or mariadb://user@host/database;
    an open connection of any DB-API driver; SQLAlchemy's Engine, Connection or URL, or a URL that it knows; or, with
    sql None, what has ``__arrow_c_stream__``, or a function that makes such an object for each pass.

    Raises TypeError for anything else, ValueError for what is not one SELECT and for what the database refuses,
    ConnectionError where there is no server, FileNotFoundError for a missing file, and ImportError, which says what to
    install, for a missing driver. No message has a password.
    """
    import sqlite3

    if hasattr(con, "render_as_string"):  # SQLAlchemy's URL
        con = con.render_as_string(hide_password=False)
    if isinstance(con, str) and "://" in con:
        return _by_url(sql, con, params)
    if isinstance(con, sqlite3.Connection | str | bytes | os.PathLike):
        return SQLiteReader(_query(sql), con, params)
    kind, name = type(con).__module__.partition(".")[0], type(con).__name__
    if kind == "sqlalchemy":
        from .dbapi import alchemy_reader

        return alchemy_reader(_query(sql), con, params)
    if name == "DuckDBPyConnection":
        from .duckdb import DuckDBReader

        return DuckDBReader(_query(sql), con, params)
    if kind == "adbc_driver_manager" and hasattr(con, "cursor"):
        from .adbc import ADBCReader

        return ADBCReader(_query(sql), con, params)
    if hasattr(con, "__arrow_c_stream__") or (callable(con) and not hasattr(con, "cursor")):
        from .arrow_reader import ArrowReader

        if sql is not None or params is not None:
            raise TypeError(f"con is a {name}, which is read as it is; pass None for sql, and no params")
        return ArrowReader(con)
    if hasattr(con, "cursor"):
        from .dbapi import connection_reader

        return connection_reader(_query(sql), con, params)
    raise TypeError(
        "con must be a path, a URL, an open connection, or what has __arrow_c_stream__ or makes such an object, got "
        f"{name}"
    )


# What is asked otherwise than by SQL, and by which dataset.
_OTHERS = {"mongodb": "MongoDataset", "redis": "RedisDataset", "rediss": "RedisDataset"}


def _by_url(sql: str | None, con: str, params: Any) -> Reader:
    url = ServerURL(con)
    if other := _OTHERS.get(url.dialect):
        raise ValueError(f"{url} is asked for without SQL; take fastnn.data.{other}")
    if url.dialect in ("postgresql", "postgres"):
        from .adbc import ADBCReader

        return ADBCReader(_query(sql), con, params)
    if url.dialect in ("mysql", "mariadb") and url.driver in ("", "pymysql"):
        from .dbapi import mysql_reader

        return mysql_reader(_query(sql), con, params)
    if url.dialect == "duckdb":
        from .duckdb import DuckDBReader

        path = con.partition("://")[2]
        if not path.startswith("/") or "?" in path or path in ("/", "/:memory:"):
            raise ValueError(f"con must be duckdb:///path without options, of a file that exists, got {url}")
        return DuckDBReader(_query(sql), path[1:], params)
    if (url.dialect, url.driver) == ("sqlite", ""):
        return SQLiteReader(_query(sql), con, params)
    from .dbapi import alchemy_reader

    return alchemy_reader(_query(sql), con, params)


def rows_with(table: str, con: str, target: str) -> tuple[str, str | None]:
    """A SELECT of the rows of a table that have a target, and the column that names a row, where that is known.

    In SQLite it is the primary key, or else the row's number.
    """
    dialect = ServerURL(con).dialect if "://" in con else "sqlite"
    where = f" WHERE {quoted(target, _mark(dialect))} IS NOT NULL"
    query = select_from(table, con)
    if dialect != "sqlite":
        return query + where, None

    def texts(sql: str) -> list[str]:
        wanted = Wanted((), (), ("name",))
        return [each for block in SQLiteReader(sql, con, [table]).blocks(wanted) for each in block.others[0].tolist()]

    keys = texts("SELECT name FROM pragma_table_info(?) WHERE pk > 0")
    if len(keys) == 1:
        return query + where, keys[0]
    of_table = texts("SELECT sql AS name FROM sqlite_master WHERE name = ? AND type = 'table'")
    columns = map(str.lower, texts("SELECT name FROM pragma_table_info(?)"))
    if not of_table or "WITHOUT ROWID" in of_table[0].upper() or "rowid" in columns:
        return query + where, None
    return query.replace("SELECT *", "SELECT rowid, *", 1) + where, "rowid"


def select_from(table: str, con: str, *columns: str) -> str:
    """A SELECT of a table's columns, by default of all, for the database at a path or URL; any names will do."""
    dialect = ServerURL(con).dialect if "://" in con else "sqlite"
    mark = _mark(dialect)
    return f"SELECT {', '.join(quoted(each, mark) for each in columns) or '*'} FROM {quoted(table, mark)}"


def _mark(dialect: str) -> str:
    """What stands around names. To SQLite a name in double quotes that no column has is a text."""
    return "`" if dialect in ("sqlite", "mysql", "mariadb") else '"'


def _query(sql: str | None) -> str:
    if sql is None:
        raise TypeError("sql must be one SELECT, got None, which goes with an Arrow stream alone")
    return sql
