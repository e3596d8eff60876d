"""A file or a URL of a database as what connects to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from fastnn import _names
from fastnn.databases.sqlite import located
from fastnn.databases.urls import ServerURL

from .kinds import ADBC, POSTGRES, Kind


def file_of(where: Any) -> str:
    """The absolute path of an SQLite database, which need not exist; its folder must."""
    try:
        path = located(where)
    except FileNotFoundError:
        path = os.path.abspath(re.sub(r"\Asqlite:///", "", os.fsdecode(where)))
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(f"cannot make {path!r}: create its folder first") from None
    assert isinstance(path, str)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder, where the file of an SQLite database is expected")
    return path


def make_file(path: str) -> None:
    """Make an empty database."""
    import sqlite3
    from pathlib import Path

    try:
        # By SQLite: to open and close the file otherwise would take away the locks of others in this process.
        sqlite3.connect(f"{Path(path).as_uri()}?mode=rwc", uri=True).close()
    except sqlite3.Error as error:
        raise ValueError(f"cannot make the database {path!r}; SQLite says: {error}") from error


def postgres(url: str) -> tuple[Kind, Callable[[], Any]]:
    """The driver that there is, and what connects by it."""
    try:
        import psycopg
    except ImportError:
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise ImportError('PostgreSQL needs psycopg: pip install "fastnn[postgres]"') from error
        return ADBC, lambda: dbapi.connect(url, autocommit=True)
    return POSTGRES, lambda: psycopg.connect(url, autocommit=True, prepare_threshold=None)


def mysql(url: str) -> Callable[[], Any]:
    """What connects to a MariaDB or MySQL."""
    try:
        import pymysql
    except ImportError as error:
        raise ImportError('MariaDB and MySQL need PyMySQL: pip install "fastnn[mysql]"') from error
    given = ServerURL(url).parts()  # all else is as the driver's own files say
    known = ("unix_socket", "read_default_file", "ssl_ca", "ssl_cert", "ssl_key", "connect_timeout")
    for name in given:
        if name not in ("host", "port", "user", "password", "database", *known):
            raise ValueError(f"unknown option {name!r} in the URL{_names.hint(name, known)}; known: {', '.join(known)}")
    return lambda: pymysql.connect(**given, charset="utf8mb4", autocommit=True)
