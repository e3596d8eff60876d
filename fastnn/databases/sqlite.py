"""One SELECT on one SQLite database: its column names, and its rows as they stream.

sqlite3 is imported where it is used, because importing fastnn must not pay for it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from fastnn._checks import shown

from .params import bindable
from .reader import Text, Wanted, check_names, check_unchanged
from .rows import RowConverter
from .statement import QueryReader, only_select

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Sequence

    from .params import Params
    from .reader import Block

    Connection: TypeAlias = sqlite3.Connection | str | bytes | os.PathLike[str]
    Fetch: TypeAlias = Callable[[int], list[tuple[Any, ...]]]

# What a program may have added to a connection of its own: functions, and orders of texts.
_OWN = (
    "SELECT * FROM pragma_function_list ORDER BY 1, 2, 3, 4, 5, 6",
    "SELECT name FROM pragma_collation_list ORDER BY 1",
)


class Query:
    """A SELECT, where it runs, and the names of its columns (read without running it).

    con: an open sqlite3.Connection, the path of a database file, or a sqlite:///path URL.

    Raises FileNotFoundError for a missing file, TypeError for a wrong type, and ValueError for
    what SQLite refuses, for what is not one SELECT, and for two columns of one name.
    """

    def __init__(self, sql: str, con: Connection, params: Params = None) -> None:
        self.sql = only_select(sql, "sqlite")
        self.params = bindable(params)
        self.con = located(con)
        with connected(self.con) as connection:
            self.columns = self._read_columns(connection)
        check_names(self.columns)

    @contextmanager
    def rows(self, connection: sqlite3.Connection) -> Iterator[Fetch]:
        """Run the query: gives a function that fetches the next n rows, or fewer at the end.

        Values come as they lie in the database, texts as Text, whatever the connection makes of them otherwise.
        """
        with ExitStack() as stack:
            with self._explained("the query failed"):
                cursor = stack.enter_context(plain_cursor(connection))
                names = self._as_subquery(cursor)
            check_unchanged(self._subquery_columns, names)
            with self._explained("the query failed"):
                cursor.execute(self._undeclared() if connection is self.con else self.sql, self.params)
            fetched = 0

            def fetch(n: int) -> list[tuple[Any, ...]]:
                nonlocal fetched
                failed = f"the query failed after {fetched} rows"
                with plain_text(connection, Text), self._explained(failed):
                    rows: list[tuple[Any, ...]] = cursor.fetchmany(n)
                fetched += len(rows)
                return rows

            yield fetch

    def _as_subquery(self, cursor: sqlite3.Cursor) -> tuple[str, ...]:
        """Compile the query without running it; gives what its columns are called from outside."""
        cursor.execute(f"SELECT * FROM ({self.sql}\n) LIMIT 0", self.params)
        return tuple(column[0] for column in cursor.description)

    def _undeclared(self) -> str:
        """The query without its columns' names and declared types: a connection may convert values by either."""
        names = [f"c{number}" for number in range(len(self.columns))]
        values = ", ".join(f"+{name}" for name in names)  # an expression, which has no declared type
        return f'WITH "fastnn rows"({", ".join(names)}) AS ({self.sql}\n) SELECT {values} FROM "fastnn rows"'

    def reads(self, connection: sqlite3.Connection, pages: Collection[int]) -> bool:
        """Whether the query opens a table or an index of the main database that begins at one of these pages."""
        with self._explained("the query failed"), plain_cursor(connection) as cursor, plain_text(connection):
            steps = cursor.execute(f"EXPLAIN {self.sql}", self.params).fetchall()
        return any(step[1] in ("OpenRead", "ReopenIdx") and step[3] in pages and step[4] == 0 for step in steps)

    def _read_columns(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        import sqlite3

        with self._explained("the query cannot be used"), plain_cursor(connection) as cursor:
            # As a subquery, only a SELECT compiles; but its columns may be named differently.
            self._subquery_columns = self._as_subquery(cursor)
            try:
                cursor.execute(f"{self.sql}\nLIMIT 0", self.params)
            except sqlite3.OperationalError:
                # It has a LIMIT of its own: SQLite must run it up to its first row.
                cursor.execute(self.sql, self.params)
            return tuple(column[0] for column in cursor.description)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise self.failed(what, error) from error

    def failed(self, what: str, error: Exception) -> ValueError:
        """The error for what SQLite refuses."""
        return ValueError(f"{what}; SQLite says: {error}; the query is: {self.sql}")

    def file(self) -> str | None:
        """The file in which a connection of its own finds the same rows; None where only `con` or a cursor does."""
        import sqlite3

        from .sqlite_native import is_loaded

        values = self.params.values() if isinstance(self.params, dict) else self.params
        if not all(value is None or type(value) in (int, float, str, bytes) for value in values) or not is_loaded():
            return None
        if isinstance(self.con, str):
            _must_exist(self.con)
            recover(self.con)
            return None if _lies_on_a_read_only_mount(self.con) else self.con
        try:
            with plain_cursor(self.con) as cursor, plain_text(self.con):
                [[_, _, path]] = cursor.execute("PRAGMA database_list").fetchall()  # and nothing attached or temporary
                [[locking]] = cursor.execute("PRAGMA locking_mode").fetchall()
                if self.con.in_transaction or locking != "normal" or not os.path.exists(path):
                    return None
                own = [cursor.execute(each).fetchall() for each in _OWN]
            with connected(path) as other, plain_cursor(other) as cursor:
                return path if own == [cursor.execute(each).fetchall() for each in _OWN] else None
        except (sqlite3.Error, ValueError):
            return None


class SQLiteReader(QueryReader):
    """A query on an SQLite database: con and errors as ``Query``."""

    def __init__(self, sql: str, con: Connection, params: Params = None) -> None:
        self.query = Query(sql, con, params)
        self.sql = self.query.sql
        self._running: list[Any] = []
        self.columns = self.query.columns
        self.shared = self.threaded = isinstance(self.query.con, str)
        self.address = ("sqlite", self.query.con if self.shared else "", repr(self.query.params), self.query.sql)

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        path = self.query.file()
        if path is None:
            yield from self._by_cursor(wanted)
            return
        from .native import SQLiteError
        from .sqlite_native import blocks

        done, failed = 0, "the query failed"
        try:
            for block in blocks(path, self.query.sql, self.query.params, self.columns, wanted, self._running):
                yield block
                done += len(block.numbers)
                failed = f"the query failed after {done} rows"
        except SQLiteError as error:
            raise self.query.failed(failed, error) from error

    def asked(self, key: str) -> tuple[Any, ...]:
        con, params = self.query.con, self.query.params
        named = isinstance(params, dict)
        return (
            self.sql,
            quoted(key),
            params if isinstance(params, dict) else list(params),
            lambda name, _: f":{name}" if named else "?",
            lambda sql, params: SQLiteReader(sql, con, params),
        )

    def cuts(self, most: int, key: str | None = None) -> Sequence[str]:
        """By ranges of rowids, where it is a plain look at a table."""
        path, cut = None if self.query.params else self.query.file(), []
        if path is not None:
            from .sqlite_native import parts

            cut = parts(path, self.sql, most)
        return cut or super().cuts(most, key)

    def interrupt(self) -> None:
        for connection in list(self._running):
            connection.interrupt()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_running": []}

    def state(self) -> Hashable | None:
        """Times and sizes of the file, and of the one beside it that has the latest rows in WAL mode."""
        if not isinstance(self.query.con, str):
            return None
        found = []
        for path in (self.query.con, f"{self.query.con}-wal"):
            with suppress(FileNotFoundError):
                about = os.stat(path)
                found.append((about.st_ino, about.st_size, about.st_mtime_ns))
        return tuple(found)

    def _by_cursor(self, wanted: Wanted) -> Generator[Block, None, None]:
        convert, first = RowConverter(self.columns, wanted), 1
        with connected(self.query.con) as connection, self.query.rows(connection) as fetch:
            while rows := fetch(convert.rows_at_once):
                yield convert(rows, first)
                first += len(rows)


def located(con: Connection) -> sqlite3.Connection | str:
    """Check `con`; return the connection itself, or the absolute path of its database file."""
    import sqlite3

    if isinstance(con, sqlite3.Connection):
        return con
    if not isinstance(con, str | bytes | os.PathLike):
        raise TypeError(
            f"con must be an open sqlite3.Connection, a path or a sqlite:///path URL, got {type(con).__name__}"
        )
    path: str = os.fsdecode(con)
    scheme, is_url, rest = path.partition("://")
    if is_url:
        # As SQLAlchemy writes it: sqlite:///relative, sqlite:////absolute.
        if scheme != "sqlite" or not rest.startswith("/") or "?" in rest:
            raise ValueError(f"con must be an SQLite database, as sqlite:///path without options, got {shown(con)}")
        path = rest[1:]
    if path in ("", ":memory:"):
        raise ValueError(
            f"con is {con!r}, which would be a new and empty database; pass the open "
            "sqlite3.Connection that holds the data"
        )
    _must_exist(path)
    return os.path.abspath(path)


@contextmanager
def connected(con: sqlite3.Connection | str, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the file `con`, and close it afterwards; a connection is lent as it is, and kept."""
    import sqlite3

    if isinstance(con, sqlite3.Connection):
        yield con
        return
    _must_exist(con)
    recover(con)
    # mode: a plain connect would create a missing file.
    connection = _opened(con, "mode=rw" if write else "mode=ro")
    try:
        if not write and _lies_on_a_read_only_mount(con):
            connection = _read_in_place(connection, con)
        yield connection
    finally:
        connection.close()


def recover(path: str) -> None:
    """Let SQLite undo what a writer has left half done that was killed: for that it must be able to write."""
    import sqlite3

    if os.path.exists(f"{path}-journal"):
        with suppress(sqlite3.Error, ValueError), closing(_opened(path, "mode=rw")) as connection:
            connection.execute("PRAGMA schema_version").fetchall()


def _opened(path: str, options: str) -> sqlite3.Connection:
    import sqlite3
    from pathlib import Path

    try:
        return sqlite3.connect(f"{Path(path).as_uri()}?{options}", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise ValueError(f"cannot open the database {path!r}; SQLite says: {error}") from error


def _read_in_place(connection: sqlite3.Connection, path: str) -> sqlite3.Connection:
    """Open it anew where it is in WAL mode, for which SQLite wants to write beside it even to read."""
    import sqlite3

    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        wal = f"{path}-wal"
        if os.path.exists(wal) and os.path.getsize(wal):
            raise ValueError(
                f"cannot read the database {path!r}: {wal!r} has rows that are not in it yet, and their file system is "
                "read-only; copy both files to where they can be written"
            ) from error
        connection.close()
        return _opened(path, "mode=ro&immutable=1")
    return connection


def _lies_on_a_read_only_mount(path: str) -> bool:
    """Whether nobody here can change the file while it is read without locks."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except AttributeError:  # Windows
        return False


@contextmanager
def plain_cursor(connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """Lend a cursor that gives tuples, whatever row_factory the user has set."""
    import sqlite3

    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    try:
        yield cursor
    finally:
        # It raises where the user has closed the connection in between.
        with suppress(sqlite3.ProgrammingError):
            cursor.close()


@contextmanager
def plain_text(connection: sqlite3.Connection, factory: type[str | Text] = str) -> Iterator[None]:
    """Fetch text as str or Text, whatever text_factory the user has set; as bytes it would be a blob."""
    theirs, connection.text_factory = connection.text_factory, factory
    try:
        yield
    finally:
        connection.text_factory = theirs


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _must_exist(path: str) -> None:
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no database file {os.path.abspath(path)!r}; check the path "
            "(fastnn reads databases and never creates one)"
        )
