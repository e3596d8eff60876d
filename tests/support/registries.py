"""Databases that a registry is tested in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn.layers import Dense, Input

from . import servers
from .database import connect

KINDS = ("sqlite", "postgres", "mariadb")


class Place(NamedTuple):
    """An empty database: its URL, a function that opens a connection, and what stands for a value there."""

    kind: str
    url: str
    connect: Callable[..., Any]
    mark: str

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own, and commit."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql.replace("?", self.mark), values)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            connection.commit()
            return rows


def sqlite_place(folder: Path) -> Place:
    path = folder / "models.db"
    return Place("sqlite", f"sqlite:///{path}", lambda **options: connect(path, **options), "?")


def postgres_place(url: str) -> Place:
    import psycopg

    return Place("postgres", url, lambda **options: psycopg.connect(url, **options), "%s")


def mariadb_place(options: dict[str, Any]) -> Place:
    import pymysql

    return Place("mariadb", servers.mysql_url(options), lambda **more: pymysql.connect(**options, **more), "%s")


def model(seed: int = 0, units: int = 3) -> fastnn.Sequential:
    """A small model that is compiled and trained, so that its optimizer has a state."""
    fastnn.set_random_seed(seed)
    made = fastnn.Sequential([Input((4,)), Dense(units, "tanh", name="hidden"), Dense(1, name="out")])
    made.compile("adam", "mse")
    random = np.random.default_rng(seed)
    made.fit(random.normal(size=(8, 4)), random.normal(size=8), epochs=1, verbose=0)
    return made


def file_of(each: Any) -> bytes:
    """The bytes that ``save`` writes."""
    from io import BytesIO

    file = BytesIO()
    each.save(file)
    return file.getvalue()
