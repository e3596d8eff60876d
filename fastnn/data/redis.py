"""Rows straight from a Redis, and rows into it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_batch_size, check_count, check_text, shown
from fastnn.databases.reader import Wanted, listed
from fastnn.databases.redis import LAYOUTS, RedisReader, Server, TextConverter, call, is_id, rows_of

from .arguments import check_known, checked_null, names_of
from .convert import to_float32
from .stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from .stored import Cache

__all__ = ["RedisDataset", "RedisStream", "write_redis"]

# Milliseconds that one command waits for entries: less than a client waits for an answer.
_WAIT = 500


class RedisDataset(StoredSource):
    """Rows that lie in a Redis, as float32.

    con: a redis.Redis, which stays open, or a URL, redis://user:password@host:6379/0, opened for
    each pass. keys: the name of a key, a pattern such as "train:*", whose keys are taken in the
    order of their bytes, or a sequence of names. What lies there says how it is read, or `layout`
    does, where nothing is there yet:

    - "blocks" (strings): each a number of rows in float32, little-endian, as ``write_redis`` and
      ``x.astype("<f4").tobytes()`` make them. columns: the names of all their columns, in order.
    - "hashes": each is a row. columns: the fields that are read, by default those of the first
      hash, sorted. The row's key is the column "_key".
    - "stream": each entry is a row. columns: by default those of the first entry. Its id is the
      column "_id". since: the id of an entry; only later ones are read. A pass ends with the entry
      that was the last as it began; for a stream without end see ``RedisStream``.

    target: the name of the target, or a sequence of names. features: a sequence of names, by
    default all other columns. key: the column that names a row, by which ``split`` splits; by
    default "_key" or "_id". Numbers of hashes and streams are texts such as 1.5e-3, inf or nan. A
    field that is missing is NULL, for which null is the number, by default an error; in a target it
    always is. memory_limit and cache are as in SQLDataset; Redis does not say whether values have
    changed, so what lies on disk is taken again only where cache is a number of seconds, and con a
    URL without a password. The names of all keys are held in memory during a pass.

    Raises ValueError, with Redis's own words and the number of rows read, where a command fails or
    the connection is lost; with field, key or entry and value, for a text that is no number, for
    numbers beyond float32's range and for whole numbers in a target that float32 would round; for a
    block that is no whole number of rows; and where there are no rows. ImportError without redis-py.
    A dataset of a URL without a password may be pickled.
    """

    def __init__(
        self,
        con: Any,
        keys: str | bytes | Sequence[str | bytes],
        target: str | Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        layout: Literal["blocks", "hashes", "stream"] | None = None,
        since: str | None = None,
        key: str | None = None,
        null: float | None = None,
        memory_limit: int = 256 * 2**20,
        cache: Cache = "auto",
    ) -> None:
        if not isinstance(keys, (str, bytes)):
            listed = isinstance(keys, Sequence) and not isinstance(keys, memoryview)  # which may have several axes
            if not listed or not all(isinstance(each, (str, bytes)) for each in keys):
                raise TypeError(f"keys must be a name, a pattern or a sequence of names, got {shown(keys)}")
            keys = [*keys]
        reader = RedisReader(
            Server(con),
            keys,
            None if columns is None else _columns(columns),
            _targets(target),
            None if layout is None else _layout(layout),
            None if key is None else check_text("key", key),
            None if since is None else _id("since", since),
        )
        super().__init__(reader, target, features, reader.key, null, memory_limit, cache)


class RedisStream:
    """The entries of a Redis stream, batch by batch, as they come: for training by steps.

    ``model.fit(RedisStream(con, "events", "y"), steps_per_epoch=100)``. An iterator, which waits for
    entries that are not there yet. con, columns, target and null are as in RedisDataset; without a
    target a batch is x alone. batch_size: the entries of a batch.

    last: the id of the entry after which it begins, by default before the first; "$" is after those
    that are there now. It is an attribute too, the id of the last entry that was given: to go on
    from there, in another process, pass it. wait: seconds without a new entry after which it ends,
    with fewer rows in the last batch; by default it waits for ever.

    Raises what RedisDataset does; after a lost connection it can be asked again, and misses nothing.
    """

    def __init__(
        self,
        con: Any,
        key: str | bytes,
        target: str | Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        batch_size: int = 32,
        last: str = "0-0",
        wait: float | None = None,
        null: float | None = None,
    ) -> None:
        if not isinstance(key, (str, bytes)):
            raise TypeError(f"key must be the name of a stream, got {shown(key)}")
        self._server, self._key, self._targets = Server(con), key, _targets(target)
        self._columns = None if columns is None else _columns(columns)
        self._size, self._null = check_batch_size(batch_size), checked_null(null)
        self._wait = None if wait is None else as_number("wait", wait)
        self._shown = f"the stream {shown(key)}"
        self._rows = 0
        self.last: str = last if last == "$" else _id("last", last)
        if last == "$":
            with self._server.explained("the stream cannot be read", self._shown), self._server.opened() as client:
                entries = call(client, "XREVRANGE", key, "+", "-", "COUNT", 1)
            self.last = entries[0][0].decode() if entries else "0-0"

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch: (x, y), or x."""
        entries = self._entries()
        if not entries:
            raise StopIteration
        if self._columns is None:
            self._columns = [name for name in map(bytes.decode, entries[0][1]) if name not in self._targets]
        features = [name for name in self._columns if name not in self._targets]
        wanted = Wanted(features, self._targets, (), self._null)
        columns = [*features, *self._targets]
        numbers = TextConverter(columns, wanted, "entry")(rows_of(entries, columns), self._rows + 1).numbers
        self._rows += len(entries)
        self.last = entries[-1][0].decode()
        x = np.ascontiguousarray(numbers[:, : len(features)])
        return (x, np.ascontiguousarray(numbers[:, len(features) :])) if self._targets else x

    def _entries(self) -> list[Any]:
        entries: list[Any] = []
        seen, last = time.monotonic(), self.last
        failed = f"the stream cannot be read after {last} ({self._rows} rows)"
        with self._server.explained(failed, self._shown), self._server.opened() as client:
            while len(entries) < self._size and (self._wait is None or time.monotonic() - seen <= self._wait):
                wait = _WAIT if self._wait is None else max(1, min(_WAIT, int(self._wait * 1000)))
                more = self._size - len(entries)
                found = call(client, "XREAD", "COUNT", more, "BLOCK", wait, "STREAMS", self._key, last)
                # RESP3 has a dict, with a list more around the entries.
                streams = (
                    [each for [each] in found.values()] if isinstance(found, dict) else [each for _, each in found]
                )
                for new in streams:
                    entries += new
                    last, seen = new[-1][0], time.monotonic()
        return entries


def write_redis(
    con: Any,
    keys: str,
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    layout: Literal["blocks", "hashes", "stream"] = "blocks",
    columns: Sequence[str] | None = None,
    names: Sequence[Any] | None = None,
    rows: int = 4096,
) -> int:
    """Write rows into a Redis, where ``RedisDataset`` finds them; gives how many.

    con: as in RedisDataset. x: (rows, features); y: (rows,) or (rows, targets), columns behind those
    of x. layout:

    - "blocks": the keys are `keys` and a number of nine digits, "train:000000000", each with `rows`
      rows in float32.
    - "hashes": each row is a hash, of the key `keys` and its name out of `names`, by default its
      number from 0. columns: the names of all fields, those of y too.
    - "stream": each row is an entry of the stream `keys`, behind those that are there. columns: as
      for hashes.

    Nothing is overwritten: ValueError where a key of a block or a hash is there, before anything is
    written; and for what Redis refuses, with its own words and the number of rows written.
    """
    _layout(layout)
    table = to_float32(x, "x")
    if table.ndim != 2:
        raise ValueError(f"x must be (rows, features), got the shape {table.shape}")
    if y is not None:
        right = to_float32(y, "y", exact=True)
        if right.ndim not in (1, 2) or len(right) != len(table):
            raise ValueError(f"y must have a row for each of the {len(table)} of x, got the shape {right.shape}")
        table = np.concatenate([table, right.reshape(len(table), -1)], axis=1)
    rows = check_count("rows", rows)
    fields = [] if columns is None else _columns(columns)
    if layout != "blocks" and len(fields) != table.shape[1]:
        raise ValueError(f"columns must be {table.shape[1]} names, of the fields of x and y, got {listed(fields)}")
    prefix = check_text("keys", keys)
    step = rows if layout == "blocks" else 1
    count = -(-len(table) // step)
    if names is None:
        names = [f"{number:09d}" if layout == "blocks" else number for number in range(count)]
    elif layout != "hashes" or len(names) != count or len(set(map(str, names))) != count:
        raise ValueError(f"names must be one for each of {count} hashes, no two the same")
    server, done = Server(con), 0
    with server.opened() as client:
        for start in range(0, count, 1000) if layout != "stream" else ():
            some = [f"{prefix}{name}" for name in names[start : start + 1000]]
            with server.explained("the keys cannot be looked at", prefix):
                if call(client, "EXISTS", *some):
                    there = next(name for name in some if call(client, "EXISTS", name))
                    raise ValueError(f"the key {there!r} is there already; write under others, or delete it first")
        at_once = 1 if layout == "blocks" else 1000
        for start in range(0, count, at_once):
            with server.explained(f"writing failed after {done} rows", f"keys {prefix!r}"):
                pipeline = client.pipeline(transaction=False)
                for number in range(start, min(start + at_once, count)):
                    block = table[number * step : (number + 1) * step]
                    if layout == "blocks":
                        pipeline.execute_command("SET", f"{prefix}{names[number]}", _bytes(block))
                    else:
                        values = [
                            each for pair in zip(fields, map(repr, block[0].tolist()), strict=True) for each in pair
                        ]
                        begin = ["XADD", prefix, "*"] if layout == "stream" else ["HSET", f"{prefix}{names[number]}"]
                        pipeline.execute_command(*begin, *values)
                pipeline.execute()
            done = min(len(table), (start + at_once) * step)
    return done


def _bytes(block: NDArray[np.float32]) -> bytes:
    return block.astype("<f4").tobytes()


def _targets(target: Any) -> list[str]:
    return [target] if isinstance(target, str) else [] if target is None else names_of("target", target)


def _columns(columns: Any) -> list[str]:
    if isinstance(columns, str):
        raise TypeError(f"columns must be a sequence of names; for one, write [{shown(columns)}]")
    names = names_of("columns", columns)
    check_known("columns", names, names)
    return names


def _layout(layout: Any) -> str:
    if layout not in LAYOUTS:
        raise ValueError(
            f"unknown layout {shown(layout)}{_names.hint(str(layout), LAYOUTS)}; known: {listed([*LAYOUTS])}"
        )
    return str(layout)


def _id(what: str, given: Any) -> str:
    if not isinstance(given, str) or not is_id(given):
        raise ValueError(f"{what} must be the id of an entry, such as 1700000000000-0, got {shown(given)}")
    return given


_names.offer(globals())
