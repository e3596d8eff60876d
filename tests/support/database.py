"""What a SQLite database holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, through a connection of its own."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
