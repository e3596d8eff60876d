"""What a SQLite database holds."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

_connect = sqlite3.connect  # itself, where a test has pages take `connect`
_opened: list[sqlite3.Connection] = []


def connect(database: Any, **options: Any) -> sqlite3.Connection:
    """A connection that is closed when the test ends."""
    connection = _connect(database, **options)
    _opened.append(connection)
    return connection


def close_all() -> None:
    """Close what the test has left open: Python 3.13 warns of it, in whichever test then runs."""
    for connection in _opened:
        with contextlib.suppress(sqlite3.ProgrammingError):  # of a thread of its own, which has closed it
            connection.close()
    _opened.clear()


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, through a connection of its own."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()
