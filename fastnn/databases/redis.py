"""Rows of a Redis: blocks of float32 rows under keys, hashes, streams; through redis-py."""

from __future__ import annotations

import re
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn._numbers import EXACT

from .reader import Block, Reader, Text, check_names, explained, listed

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from .reader import Wanted

# A layout by Redis's own name for the type of its keys, and what a row is called by there.
LAYOUTS = {"blocks": "string", "hashes": "hash", "stream": "stream"}
ROW_NAMES = {"hashes": "_key", "stream": "_id"}

# Rows, and values of them, that are asked for at once.
_ROWS, _VALUES = 4096, 2**14
# What a number may be written with: float() takes "1_000" and " 1" too.
_WRITTEN = b"0123456789+-.eEinfatyINFATY"


class Server:
    """A Redis: a client of redis-py's, which stays open, or a URL, opened when it is used."""

    def __init__(self, con: Any) -> None:
        self._redis = imported()
        self._url: str | None = con if isinstance(con, str) else None
        self._client: Any = None if isinstance(con, str) else con
        self.has_password = False
        if isinstance(con, str):
            try:
                options = self._redis.connection.parse_url(con)
            except ValueError:  # whose words may have a part of the password
                raise ValueError(
                    "con is no URL of a Redis, such as redis://user:password@host:6379/0 or unix:///path; quote what "
                    "is special in a password: %40 for an @, %2F for a /"
                ) from None
            self.has_password = "password" in options
        elif isinstance(con, self._redis.Redis):
            options = con.connection_pool.connection_kwargs
        else:
            raise TypeError(f"con must be a redis.Redis or a URL, redis://host:6379/0, got {type(con).__name__}")
        self.is_url = self._url is not None
        path = options.get("path")
        self.name = str(path or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
        self.address: tuple[Hashable, ...] = ("redis", self.name, options.get("db", 0), options.get("username"))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The client, one of its own where it is a URL."""
        if self._client is not None:
            yield self._client
            return
        with self._redis.Redis.from_url(self._url) as client:
            yield client

    @contextmanager
    def explained(self, what: str, shown: str) -> Iterator[None]:
        """Turn redis-py's errors into a ValueError."""
        with explained(what, f"Redis at {self.name}", shown, (self._redis.RedisError, OSError)):
            yield

    def __reduce__(self) -> Any:
        if not self.is_url or self.has_password:
            raise TypeError("a client and a URL with a password are not pickled; pass a URL without one")
        return type(self), (self._url,)


def is_id(text: str) -> bool:
    """Whether a text is the id of an entry."""
    return re.fullmatch(r"\d+(-\d+)?", text, re.ASCII) is not None


def imported() -> Any:
    """redis-py; ImportError that says how to get it."""
    try:
        import redis
    except ImportError as error:
        raise ImportError('Redis needs redis-py: pip install "fastnn[redis]"') from error
    return redis


def call(client: Any, *command: Any) -> Any:
    """Run a command, or have a pipeline run it; texts of its answer are bytes, whatever the client makes of them."""
    return client.execute_command(*command, NEVER_DECODE=True)


class Rows(NamedTuple):
    """Rows as Redis has them: for each the texts of the columns, None for what is missing; by what it is called."""

    values: list[list[bytes | None]]
    names: list[bytes]


class TextConverter:
    """Picks what is wanted out of `Rows`. kind: of what a row is, for messages. Errors as ``Reader.blocks``."""

    def __init__(self, columns: Sequence[str], wanted: Wanted, kind: str) -> None:
        self._names = [*wanted.numbers, *wanted.targets]
        self._places = [columns.index(name) for name in self._names]
        self._others = [columns.index(name) for name in wanted.others]
        self._features, self._null, self._kind = len(wanted.numbers), wanted.null, kind

    def __call__(self, rows: Rows, first: int) -> Block:
        texts = [[row[place] for place in self._places] for row in rows.values]
        flat = [text for row in texts for text in row]
        try:
            if b"".join(flat).translate(None, _WRITTEN):  # type: ignore[arg-type]
                raise ValueError
            numbers = np.array(list(map(float, flat)), np.float64)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            numbers = np.array([self._number(at, text, rows, first) for at, text in enumerate(flat)], np.float64)
        with np.errstate(over="ignore"):
            kept = numbers.astype(np.float32)
        for at in np.flatnonzero(np.isinf(kept) & np.isfinite(numbers))[:1].tolist():
            raise self._error(at, rows, first, f"holds {decoded(flat[at])!s}, beyond float32's range of ±3.4e38")
        kept = kept.reshape(len(texts), len(self._names))
        self._check_exact(kept, texts, rows, first)
        others = []
        for place in self._others:
            column = np.empty(len(texts), object)
            column[:] = [None if row[place] is None else decoded(row[place]) for row in rows.values]
            others.append(column)
        return Block(kept, others)

    def _number(self, at: int, text: bytes | None, rows: Rows, first: int) -> float:
        if text is None:
            is_target = at % len(self._names) >= self._features
            if self._null is None or is_target:
                advice = "" if is_target else "; pass null=<number> to replace it"
                raise self._error(at, rows, first, "is missing", advice)
            return self._null
        try:
            if text.translate(None, _WRITTEN):
                raise ValueError
            return float(text)
        except ValueError:
            raise self._error(at, rows, first, f"holds {shown(decoded(text))}, which is no number") from None

    def _check_exact(self, kept: NDArray[np.float32], texts: list[list[bytes | None]], rows: Rows, first: int) -> None:
        """ValueError where a target's whole numbers are not what float32 holds of them."""
        targets = kept[:, self._features :]
        for row, place in np.argwhere(np.isfinite(targets) & (np.abs(targets) >= EXACT)).tolist():
            text = texts[row][self._features + place] or b""
            if text.lstrip(b"+-").isdigit() and int(text) != int(targets[row, place]):
                at = row * len(self._names) + self._features + place
                told = f"is the target and holds {decoded(text)!s}, which float32 cannot hold exactly"
                raise self._error(at, rows, first, told, "; number the classes from 0")

    def _error(self, at: int, rows: Rows, first: int, holds: str, advice: str = "") -> ValueError:
        row, place = divmod(at, len(self._names))
        where = f"{self._kind} {decoded(rows.names[row])!r} (row {first + row})"
        return ValueError(f"field {self._names[place]!r} {holds}, in {where}, where a number is expected{advice}")


def decoded(text: Any) -> Any:
    """A text; as Text where it is no UTF-8."""
    try:
        decoded: str = text.decode()
    except UnicodeDecodeError:
        return Text(text)
    return decoded


def _encoded(name: str | bytes) -> bytes:
    return name.encode(errors="surrogateescape") if isinstance(name, str) else bytes(name)


class RedisReader(Reader):
    """What lies under keys, in the order of their bytes. keys: a pattern, or a list of names. Arguments: RedisDataset.

    `targets` and `key` are as given; without a key, the layout's own: "_key" of hashes, "_id" of a stream.
    """

    threaded = True
    empty = "check the keys"

    def __init__(
        self,
        server: Server,
        keys: Any,
        columns: Sequence[str] | None,
        targets: Sequence[str],
        layout: str | None,
        key: str | None,
        since: str | None,
    ) -> None:
        self.server, self.shared = server, server.is_url and not server.has_password
        self._pattern = _encoded(keys) if isinstance(keys, (str, bytes)) else None
        self._keys = [] if self._pattern is not None else [_encoded(each) for each in keys]
        self._since, self._until = since or "", ""
        what = repr(decoded(self._pattern)) if self._pattern is not None else shown([decoded(k) for k in self._keys])
        self._shown = f"keys {what}" + (f", entries after {since}" if since else "")
        with server.explained("the keys cannot be read", self._shown), server.opened() as client:
            first = next(iter(self._found(client)), None)
            self.layout = layout or (None if first is None else self._layout_of(client, first))
            if columns is None:
                columns = self._first_columns(client, first)
        self.key = key if key is not None else ROW_NAMES.get(self.layout or "")
        added = [name for name in (*targets, self.key) if name not in (None, *columns)]
        if self.layout == "blocks" and added:
            raise ValueError(f"the blocks have no column {added[0]!r}; their columns are {listed(columns)}")
        self.columns = check_names([*columns, *dict.fromkeys(added)])
        self.address = (*server.address, self.layout, tuple(self._keys), self._since, self._shown)

    def since(self, key: str, value: Any) -> tuple[RedisReader, Any]:
        if self.layout != "stream" or key != "_id":
            return super().since(key, value)  # type: ignore[return-value]
        if value is not None and not (isinstance(value, str) and is_id(value)):
            raise ValueError(f"the rows after {shown(value)}: the id of an entry is expected, such as 1700000000000-0")
        with self._explained(0), self.server.opened() as client:
            keys = self._found(client)
            if len(keys) > 1:
                raise ValueError("several streams have ids of their own: ask each for its entries after one")
            last = call(client, "XREVRANGE", keys[0], "+", f"({value}" if value else "-", "COUNT", 1) if keys else ()
        made, since = copy(self), value or self._since
        until = last[0][0].decode() if last else value or ""
        vars(made).update(_since=since, _until=until, address=(*self.address[:-2], since, until, self._shown))
        return made, until or None

    def _layout_of(self, client: Any, key: bytes) -> str:
        kind = call(client, "TYPE", key).decode()
        for layout, its_kind in LAYOUTS.items():
            if kind == its_kind:
                return layout
        raise ValueError(
            f"there is no key {decoded(key)!r}"
            if kind == "none"
            else f"the key {decoded(key)!r} is a {kind}; a string (a block of rows), a hash or a stream is expected"
        )

    def _first_columns(self, client: Any, key: bytes | None) -> list[str]:
        if key is None:
            raise ValueError(f"no key is there to take the columns from: {self._shown}; pass columns")
        if self.layout == "blocks":
            raise ValueError("a block does not say what its columns are: pass columns, the names of all of them")
        if self.layout == "hashes":
            return sorted(map(str, map(decoded, call(client, "HKEYS", key))))
        entries = call(client, "XRANGE", key, "-", "+", "COUNT", 1)
        if not entries:
            raise ValueError(f"the stream {decoded(key)!r} has no entry to take the columns from; pass columns")
        return [str(decoded(name)) for name in entries[0][1]]

    def _found(self, client: Any) -> list[bytes]:
        """The keys, in order: of their bytes where they are found by a pattern."""
        if self._pattern is None:
            return self._keys
        if not any(sign in self._pattern for sign in b"*?["):
            return [self._pattern] if call(client, "EXISTS", self._pattern) else []
        found: set[bytes] = set()
        cursor: Any = 0
        while True:
            cursor, keys = call(client, "SCAN", cursor, "MATCH", self._pattern, "COUNT", 1000)
            found.update(keys)
            if int(cursor) == 0:
                return sorted(found)

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        done = 0
        with self.server.opened() as client:
            with self._explained(0):
                keys = self._found(client)
                layout = self.layout or (self._layout_of(client, keys[0]) if keys else "")
            if not keys:
                return
            read = {"blocks": self._blocks, "hashes": self._hashes, "stream": self._streams}[layout]
            columns = list(dict.fromkeys([*wanted.numbers, *wanted.targets, *wanted.others]))
            convert = TextConverter(columns, wanted, "entry" if layout == "stream" else "hash")
            parts: Iterator[Any] = read(client, keys, columns)
            while True:
                with self._explained(done):
                    part = next(parts, None)
                if part is None:
                    return
                block = convert(part, done + 1) if isinstance(part, Rows) else picked(part, columns, wanted)
                done += len(block.numbers)
                yield block

    @contextmanager
    def _explained(self, done: int) -> Iterator[None]:
        failed = f"the query failed after {done} rows" if done else "the query failed"
        with self.server.explained(failed, self._shown):
            yield

    def _blocks(self, client: Any, keys: list[bytes], columns: list[str]) -> Generator[NDArray[np.float32], None, None]:
        width, places = len(self.columns), [self.columns.index(name) for name in columns]
        for key in keys:
            content = call(client, "GET", key)
            if content is None:
                raise ValueError(f"there is no block under the key {decoded(key)!r}")
            if len(content) % (4 * width):
                raise ValueError(
                    f"the key {decoded(key)!r} holds {len(content)} bytes, which are no rows of {width} columns in "
                    f"float32 ({4 * width} bytes); the columns are {listed(self.columns)}"
                )
            rows = np.frombuffer(content, "<f4").reshape(-1, width)
            yield rows if places == list(range(width)) else rows[:, places]

    def _hashes(self, client: Any, keys: list[bytes], columns: list[str]) -> Generator[Rows, None, None]:
        fields = [name for name in columns if name != "_key"]
        at_once = max(1, min(_ROWS, _VALUES // len(columns)))
        for start in range(0, len(keys), at_once):
            some = keys[start : start + at_once]
            pipeline = client.pipeline(transaction=False)
            for key in some:
                call(pipeline, "HMGET", key, *fields)
            values = pipeline.execute()
            for key, row in zip(some, values, strict=True):
                if not any(each is not None for each in row):
                    raise ValueError(f"under the key {decoded(key)!r} there is no hash with {listed(fields)}")
                if "_key" in columns:
                    row.insert(columns.index("_key"), key)
            yield Rows(values, some)

    def _streams(self, client: Any, keys: list[bytes], columns: list[str]) -> Generator[Rows, None, None]:
        at_once = max(1, min(_ROWS, _VALUES // len(columns)))
        for key in keys:
            last = self._until
            if not last:  # what is added meanwhile is not of this pass
                last = next((entry for entry, _ in call(client, "XREVRANGE", key, "+", "-", "COUNT", 1)), "")
            start = f"({self._since}" if self._since else "-"
            while last:
                entries = call(client, "XRANGE", key, start, last, "COUNT", at_once)
                if not entries:
                    break
                yield rows_of(entries, columns)
                start = f"({entries[-1][0].decode()}"


def picked(rows: NDArray[np.float32], columns: list[str], wanted: Wanted) -> Block:
    """What is wanted of rows of numbers; the wanted numbers are the first columns."""
    width = len(wanted.numbers) + len(wanted.targets)
    others = [rows[:, columns.index(name)].astype(object) for name in wanted.others]
    return Block(np.ascontiguousarray(rows[:, :width], np.float32), others)


def rows_of(entries: Sequence[tuple[bytes, dict[bytes, bytes]]], columns: Sequence[str]) -> Rows:
    """Entries of a stream."""
    names = [_encoded(name) for name in columns]
    values: list[list[bytes | None]] = [
        [entry if name == b"_id" else fields.get(name) for name in names] for entry, fields in entries
    ]
    return Rows(values, [entry for entry, _ in entries])
