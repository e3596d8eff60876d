"""A database as a registry uses it: a connection for each thing that is done, one transaction, and again while others
are in the way.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from fastnn import _names
from fastnn._checks import check_text
from fastnn.databases.sqlite import connected, plain_cursor, plain_text

from .connecting import file_of, make_file, mysql, postgres
from .kinds import MYSQL, POSTGRES, SQLITE, Kind, Row

Done = TypeVar("Done")

PART = 2**20  # bytes of a model in one row, which any server takes; less where a packet is smaller
URLS = (
    "sqlite:///path, postgresql://user@host/database, mysql://user@host/database (mariadb:// too), mlflow:URI, hf:OWNER"
)


class Session:
    """A connection, while something is done on it."""

    def __init__(self, kind: Kind, con: Any, ms: int) -> None:
        self.kind, self._con, self._ms = kind, con, ms
        self.nested = kind.in_transaction(con)

    def run(self, sql: str, *values: Any) -> list[Row]:
        """Run a statement; gives its rows."""
        return self._run(sql, values)[0]

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns, in small letters."""
        return self._run(f"SELECT * FROM {table} WHERE 1 = 0", ())[1]

    def _run(self, sql: str, values: Row) -> tuple[list[Row], set[str]]:
        if self.kind is SQLITE:
            with plain_text(self._con), plain_cursor(self._con) as cursor:
                return self._fetched(cursor, sql, values)
        with closing(self.kind.cursor(self._con)) as cursor:
            return self._fetched(cursor, sql, values)

    def _fetched(self, cursor: Any, sql: str, values: Row) -> tuple[list[Row], set[str]]:
        cursor.execute(self.kind.sql(sql), values)
        if not cursor.description:
            return [], set()
        return [tuple(row) for row in cursor.fetchall()], {column[0].lower() for column in cursor.description}

    def lock(self, name: str) -> None:
        """Wait until no other transaction writes to a name, where the database has a lock for that."""
        if self.kind.lock:
            self.run(self.kind.lock, name)

    def part(self) -> int:
        """The most bytes of a model that one row is given."""
        if not self.kind.packet:
            return PART
        most = int(self.run(self.kind.packet)[0][0])
        return max(2**8, min(PART, (most - 2**10) // 2))

    def add_bytes(self, sql: str, *values: Any) -> None:
        """Run an INSERT whose last value, without a mark, is bytes."""
        *others, data = values
        if self.kind.bytes_as != "?":
            from base64 import b64encode

            data = b64encode(data).decode()
        self.run(f"{sql}, {self.kind.bytes_as})", *others, data)

    @contextmanager
    def transaction(self, write: bool) -> Iterator[None]:
        """All or nothing; inside a transaction of the user's a savepoint, so that its end is the user's."""
        if self.nested:
            begin: tuple[str, ...] = ("SAVEPOINT fastnn_registry",)
            back: tuple[str, ...] = ("ROLLBACK TO SAVEPOINT fastnn_registry", "RELEASE SAVEPOINT fastnn_registry")
            end = "RELEASE SAVEPOINT fastnn_registry"
        else:
            begin, back, end = self.kind.begin, ("ROLLBACK",), "COMMIT"
            if self.kind is SQLITE and not write:
                begin = ("BEGIN",)
            if getattr(self._con, "autocommit", True) is False:  # psycopg then begins by itself
                begin = begin[1:]
        for statement in begin:
            self.run(statement.format(ms=self._ms))
        try:
            yield
            self.run(end)
        except BaseException:
            with suppress(Exception):  # of a connection that is lost; the first one says why
                for statement in back:
                    self.run(statement)
            raise


class Database:
    """Where a registry is: `address` says it, without a password.

    where: a URL, the path of an SQLite database, or an open connection. TypeError, ValueError for what is none of them.
    timeout: seconds to wait for others.
    """

    def __init__(self, where: Any, timeout: float) -> None:
        self.timeout = timeout
        self._path, self._con = "", None
        self._secrets: set[str] = set()
        scheme, is_url, _ = where.partition("://") if isinstance(where, str) else ("", "", "")
        scheme = scheme.partition("+")[0]
        if is_url and scheme in ("postgresql", "postgres", "mysql", "mariadb"):
            self._open_url(where, scheme)
        elif isinstance(where, str | bytes | os.PathLike):
            if is_url and scheme != "sqlite":
                hint = _names.hint(scheme.partition(":")[0], ("sqlite", "postgresql", "mysql", "mariadb", "mlflow"))
                raise ValueError(f"a registry is opened by {URLS}; got the scheme {scheme!r:.40}{hint}")
            self._path = file_of(where)
            self.kind, self.address = SQLITE, self._path
        else:
            self._lend(where)

    def _open_url(self, url: str, scheme: str) -> None:
        url = check_text("the URL", url)
        before, _, after = url.partition("://")[2].rpartition("@")
        secret = before.partition(":")[2]
        if re.search(r"[/?#@\s]|%(?![0-9A-Fa-f]{2})", secret):
            raise ValueError(
                "the URL's password has a character that stands for something else in a URL; write it as "
                "urllib.parse.quote(password, safe='') gives it"
            )
        parts = urlsplit(url)
        hidden = [value for name, value in parse_qsl(parts.query) if "pass" in name or "pwd" in name]
        self._secrets = {each for one in (secret, *hidden) for each in (one, unquote(one)) if each}
        user = before.partition(":")[0]
        self.address = f"{scheme}://{user}{'@' if before else ''}{re.split('[?#]', after)[0]}"
        if scheme in ("mysql", "mariadb"):
            self.kind, self._connect = MYSQL, mysql(url)
        else:
            self.kind, self._connect = postgres("postgresql" + url[url.index("://") :])

    def _lend(self, con: Any) -> None:
        for each in type(con).__mro__:
            module = each.__module__.partition(".")[0]
            kind = {"sqlite3": SQLITE, "psycopg": POSTGRES, "pymysql": MYSQL}.get(module)
            if kind is not None and each.__name__ == "Connection":
                break
        else:
            raise TypeError(
                f"a registry is opened by a path, by {URLS}, or by an open connection of sqlite3, psycopg or PyMySQL; "
                f"got {type(con).__module__}.{type(con).__qualname__}"
            )
        if kind is MYSQL and con.charset != "utf8mb4":
            raise ValueError(f"the connection must have charset='utf8mb4', in which any name is, got {con.charset!r}")
        self.kind, self._con, self.address = kind, con, f"an open connection of {module}"

    @property
    def is_there(self) -> bool:
        """Whether there is a database; an SQLite file is made by the first thing that writes."""
        return not self._path or os.path.exists(self._path)

    def do(self, what: str, work: Callable[[Session], Done], write: bool = False) -> Done:
        """work(session) in one transaction, and again while others are in the way, as long as `timeout` says.

        what: says what cannot be done. Raises TimeoutError where others were in the way all the time, and ValueError
        with the database's words for all else that it refuses.
        """
        end, wait = time.monotonic() + self.timeout, 0.005
        while True:
            with self._connected(write) as con:
                nested = False
                try:
                    self._check_open(con)
                    # Of SQLite a short while, as it does not hear of Ctrl-C meanwhile.
                    ms = max(1, min(int(1000 * self.timeout), 1000 if self.kind is SQLITE else 10**8))
                    session = Session(self.kind, con, ms)
                    if self._con is None and self.kind.patience:
                        session.run(self.kind.patience.format(ms=ms, s=max(1, ms // 1000)))
                    nested = session.nested
                    with session.transaction(write):
                        return work(session)
                except con.Error as error:
                    busy = self.kind.code(error) in self.kind.busy
                    if not busy or nested or time.monotonic() > end:
                        raise self._refused(what, error, busy, nested) from error
            # Not at the same time as the other one, which waits too.
            time.sleep(wait * (1 + os.urandom(1)[0] / 256))
            wait = min(2 * wait, 0.2)

    def _refused(self, what: str, error: Exception, busy: bool, nested: bool) -> Exception:
        says = f"{self.kind.server} says: {self._scrubbed(error)}"
        if not busy:
            return ValueError(f"{what}; {says}")
        if nested:
            return TimeoutError(f"{what}: others write there too; roll the open transaction back, do it again; {says}")
        return TimeoutError(f"{what}: others have kept {self.address} locked for {self.timeout:g} s; {says}")

    def _scrubbed(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @contextmanager
    def _connected(self, write: bool) -> Iterator[Any]:
        if self._con is not None:
            yield self._con
            return
        if self._path:
            if write and not os.path.exists(self._path):
                make_file(self._path)
            # Even to read: what a writer that was killed has left can be taken back by one who may write alone.
            with connected(self._path, write=os.access(self._path, os.W_OK)) as con:
                yield con
            return
        try:
            con = self._connect()
        except Exception as error:
            raise ValueError(
                f"cannot connect to {self.address}; {self.kind.server} says: {self._scrubbed(error)}"
            ) from None
        with closing(con):
            yield con

    def _check_open(self, con: Any) -> None:
        """ValueError for a connection that is closed, or whose transaction has failed."""
        if self.kind is POSTGRES and self._con is not None and con.info.transaction_status == 3:
            raise ValueError("the connection's open transaction has failed; roll it back first")
        if getattr(con, "closed", False) is True or getattr(con, "open", True) is False:
            raise ValueError("the connection is closed; open the registry with another one")
