"""Rows of an SQLite file through SQLite's C interface, by several threads where a query is a plain look at a table."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn.kernels import cores

from .ahead import Ahead
from .reader import Block, check_unchanged, inexact, refused

if TYPE_CHECKING:
    from .native import Connection, Statement
    from .reader import Wanted

# Numbers of a block, which stay in the cache until they are taken; and blocks that are read before they are asked for.
_NUMBERS, _AHEAD = 2**16, 8
# Rowids that a thread reads before the next thread's come; and the threads and ranges of one query at most.
_RANGE, _THREADS, _RANGES = 2**15, 4, 2**14
_PART = 2**10  # rowids of a part that another process reads, at least
_LAST, _TRIES, _PATIENCE = 2**63 - 1, 5, 0.02

_NAME = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]]+\]|[^\W\d]\w*)'
_COLUMN = rf"(?:{_NAME}\s*\.\s*)?(?:{_NAME}|\*)(?:\s+AS\s+{_NAME})?"
# Columns of one table, and nothing else.
_PLAIN = re.compile(rf"\s*SELECT\s+{_COLUMN}(?:\s*,\s*{_COLUMN})*\s+FROM\s+(?P<table>{_NAME})\s*", re.IGNORECASE)


@cache
def is_loaded() -> bool:
    """Whether the functions of the SQLite that Python's sqlite3 uses can be found; they are taken for use then."""
    import _sqlite3
    import sqlite3

    from . import native

    try:
        # The same library once more, with all that it was linked to.
        library = ctypes.CDLL("sqlite3" if os.name == "nt" else getattr(_sqlite3, "__file__", None))
        version = library.sqlite3_libversion
        version.restype = ctypes.c_char_p
        if version().decode() != sqlite3.sqlite_version or not library.sqlite3_threadsafe():
            return False
        functions = [getattr(library, f"sqlite3_{name}") for name in native.NAMES]
    except (AttributeError, OSError):  # it is a part of Python, which keeps the names for itself
        return False
    native.use([ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions])
    return True


class _Stopped(NamedTuple):
    """A value that does not become a number, in the row behind those that came."""

    place: int
    value: Any


def blocks(
    path: str,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any],
    columns: Sequence[str],
    wanted: Wanted,
    running: list[Connection],
) -> Generator[Block, None, None]:
    """As ``Reader.blocks``; SQLiteError where SQLite fails.

    columns: of the result, in its order. running: has the connections while they read, for who interrupts them.
    """
    from .native import Connection, Statement

    uri = f"{Path(path).as_uri()}?mode=ro"
    plain = None if params else _PLAIN.fullmatch(sql)
    ranges = None if plain is None else _ranges(uri, plain["table"])
    if ranges is None:
        statements, starts, size = [Statement(Connection(uri), sql, params)], range(1), 0
    else:
        by_range = f"{sql}\nWHERE {ranges.rowid} BETWEEN ? AND ? ORDER BY {ranges.rowid}"
        statements = [Statement(connection, by_range, (0, 0)) for connection in ranges.connections]
        starts, size = ranges.starts, ranges.size
    check_unchanged(columns, statements[0].columns)
    numbers, targets, others = ([columns.index(name) for name in names] for names in wanted[:3])
    for statement in statements:
        statement.take(numbers, targets, others, wanted.null)
    rows = max(64, min(4096, _NUMBERS // max(1, len(numbers) + len(targets) + len(others))))
    with ExitStack() as stack:
        for statement in statements:
            stack.callback(statement.close)  # behind the end of the thread that reads it
            running.append(statement.connection)
            stack.callback(running.remove, statement.connection)
        parts = []
        for at, statement in enumerate(statements):
            make = partial(_read, statement, rows, starts[at :: len(statements)], size)
            parts.append(stack.enter_context(closing(Ahead(make, _AHEAD, statement.connection.interrupt))))
        done = 0
        for read in _in_turn(parts):
            if isinstance(read, _Stopped):
                names = [*wanted.numbers, *wanted.targets]
                is_target = read.place >= len(wanted.numbers)
                error = refused(names[read.place], done + 1, read.value, is_target)
                raise error or inexact(names[read.place], done + 1, read.value)
            done += len(read.numbers)
            yield read


def parts(path: str, sql: str, most: int) -> list[str]:
    """At most so many queries whose rows, one's behind another's, are those of one without parameters, by rowids; none
    where it is no plain look at a table."""
    plain = _PLAIN.fullmatch(sql)
    ranges = None if plain is None else _ranges(f"{Path(path).as_uri()}?mode=ro", plain["table"])
    if ranges is None:
        return []
    first, stop = ranges.starts[0], ranges.starts[-1] + ranges.size
    size = max(_PART, -(-(stop - first) // most))
    where = f"{sql}\nWHERE {ranges.rowid} BETWEEN"
    return [
        f"{where} {start} AND {min(start + size - 1, _LAST)} ORDER BY {ranges.rowid}"
        for start in range(first, stop, size)
    ]


def _read(
    statement: Statement, rows: int, starts: Iterable[int], size: int
) -> Generator[Block | _Stopped | None, None, None]:
    """Blocks of at most so many rows: all, or (size > 0) those of some ranges of rowids, None at the end of each."""
    for start in starts:
        if size:
            statement.bind(1, start)
            statement.bind(2, min(start + size - 1, _LAST))
        while True:
            block = Block(*statement.read(rows))
            if len(block.numbers):
                yield block
            if statement.stopped is not None:
                yield _Stopped(*statement.stopped)
            if len(block.numbers) < rows:
                break
        yield None


def _in_turn(parts: list[Ahead[Any]]) -> Generator[Any, None, None]:
    """A range of each in turn."""
    left = list(parts)
    while left:
        for part in list(left):
            for read in part:
                if read is None:
                    break
                yield read
            else:
                left.remove(part)


class _Ranges(NamedTuple):
    """Connections that see the same rows of a table, and where its ranges of `size` rowids begin."""

    rowid: str  # what the table calls them
    connections: list[Connection]
    starts: range
    size: int


def _ranges(uri: str, table: str) -> _Ranges | None:
    """None for what is no table of rowids, and for a small one."""
    from .native import Connection, SQLiteError, Statement

    connection = Connection(uri)
    name = table if table[0] not in '"`[' else table[1:-1].replace(2 * table[0], table[0])
    about = Statement(
        connection,
        "SELECT c.name FROM main.sqlite_master AS t, pragma_table_info(t.name) AS c "
        "WHERE t.type = 'table' AND t.name = ? COLLATE NOCASE AND t.sql NOT LIKE 'CREATE VIRTUAL%'",
        (name,),
    )
    about.take((), (), (0,), None)
    [names] = about.read(2**15)[1]
    taken = {str(each).lower() for each in names}
    rowid = next((each for each in ("rowid", "_rowid_", "oid") if each not in taken), None)
    if not taken or rowid is None:
        return None
    ends = [f"SELECT {end}({rowid}) FROM {table}" for end in ("min", "max")]
    try:
        first, last = (connection.value(end) for end in ends)
    except SQLiteError:  # a table without rowids
        return None
    if first is None or last is None:
        return None
    size = max(_RANGE, (last - first) // _RANGES)
    threads = min(_THREADS, cores.default(), (last - first) // size + 1)
    # A writer that waits for the first of them lets no other in, so these do not wait long, but give way.
    connections = [connection, *(Connection(uri, _PATIENCE) for _ in range(threads - 1))]
    if not any(_agree(connections, ends[0]) for _ in range(_TRIES)):
        return None
    first, last = (connection.value(end) for end in ends)
    return _Ranges(rowid, connections, range(first or 0, (last or 0) + 1, size), size)


def _agree(connections: list[Connection], look: str) -> bool:
    """Whether all see the rows that the first one sees, from now on; if not, none sees any.

    A connection's data_version stays as long as no other commits.
    """
    from .native import SQLiteError

    begun = []
    try:
        versions = [each.value("PRAGMA data_version") for each in connections]
        for each in connections:
            each.value("BEGIN")
            begun.append(each)
            each.value(look)
        if [each.value("PRAGMA data_version") for each in connections] == versions:
            return True
    except SQLiteError:
        pass
    for each in begun:
        each.value("ROLLBACK")
    return False
