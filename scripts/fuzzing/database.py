"""Connections to SQLite databases."""

from __future__ import annotations

import sqlite3
from typing import Any


class _Closing(sqlite3.Connection):
    def __del__(self) -> None:
        self.close()


def connect(database: str, **options: Any) -> sqlite3.Connection:
    """A connection that is closed when nobody has it any more: Python 3.13 warns of others."""
    return sqlite3.connect(database, factory=_Closing, **options)
