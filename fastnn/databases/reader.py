"""What every reader gives: blocks of rows, numbers as float32 and strictly, all else as it is."""

from __future__ import annotations

import datetime
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn._numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Wanted(NamedTuple):
    """What is read of each row.

    numbers, targets: columns whose values become float32. others: columns whose values stay Python's, None for NULL.
    null: the number that stands for NULL in `numbers`; None refuses it. A target that is NULL is always refused.
    """

    numbers: Sequence[str]
    targets: Sequence[str] = ()
    others: Sequence[str] = ()
    null: float | None = None


class Block(NamedTuple):
    """Rows that follow one another.

    `numbers` is (rows, numbers + targets), float32, in the order of ``Wanted``, C-contiguous; `others` has an array of
    objects, (rows,), for each of the others.
    """

    numbers: NDArray[np.float32]
    others: Sequence[NDArray[np.object_]]


class Reader(ABC):
    """A query on a database. `columns` are the names of its result, known without running it, no two the same.

    `address` says which database, and which query on it, without a password: for messages and for the key of a cache.
    `shared` says that another process can read the same by a copy of the reader, `threaded` that another thread can.
    `empty` is what to do where it gives no rows. `rules` are what columns of the query are said to hold (declared.py).
    """

    columns: tuple[str, ...]
    address: tuple[Hashable, ...]
    shared: bool = False
    threaded: bool = False
    empty: str = "check its WHERE"
    rules: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        """Run the query and give its rows in order, each time the same where the data are. Closing it ends the query.

        Raises ValueError with column, row (counted from 1) and value for what cannot be a float32 number: NULL without
        `null`, text, bytes, a number beyond float32's range, a whole number in a target that float32 would round; and
        with the database's own words where the query fails.
        """

    def within(self, names: Sequence[str]) -> list[str]:
        """The names of the numbers that columns of the query are: themselves, where nothing else is said of them."""
        return list(names)

    def shape_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """The shape of a row of these numbers: of one column of pictures, say, theirs."""
        return (len(names),)

    def dtype_of(self, names: Sequence[str]) -> np.dtype[Any]:
        """The type that holds each of these numbers and takes least: bytes for pictures."""
        return np.dtype(np.float32)

    def interrupt(self) -> None:  # noqa: B027 - most cannot
        """Have what runs end with an error soon, from another thread. Nothing where that cannot be."""

    def since(self, key: str, value: Any) -> tuple[Reader, Any]:
        """(the rows whose key is greater than `value`, and at most the largest that there is now; that one).

        value: None for all rows. The largest key is `value` where no row has a greater one. ValueError where the
        database cannot be asked.
        """
        raise ValueError(f"{type(self).__name__} cannot ask for the rows after a key; select them in the query")

    def cuts(self, most: int, key: str | None = None) -> Sequence[Any]:
        """At most so many small things of which ``part`` makes readers: their rows, one's behind another's, are those
        of this one, which is not read for that. () where it cannot be cut. key: a column that names a row."""
        return ()

    def part(self, cut: Any) -> Reader:
        """The reader of a cut, which another process may have made."""
        raise NotImplementedError

    def state(self) -> Hashable | None:
        """What differs where the rows may differ: of a file its times and size. None where that cannot be known."""
        return None


class NoRowsError(ValueError):
    """A query gives no rows."""


class Text(bytes):
    """A text as it lies in the database, which need not be UTF-8."""

    def __repr__(self) -> str:
        return repr(self.decode(errors="backslashreplace"))


def listed(names: Sequence[str]) -> str:
    """Return names for a message."""
    shown = ", ".join(map(repr, names[:30]))
    return shown if len(names) <= 30 else f"{shown} and {len(names) - 30} more"


def refused(name: str, row: int, value: object, is_target: bool) -> ValueError | None:
    """The error for a value, in a row counted from 1, that does not become a float32 number; None for one that does."""
    reason = _reason(value, is_target)
    if reason is None:
        return None
    return ValueError(f"column {name!r} {reason[0]} in row {row} of the query, where a number is expected; {reason[1]}")


def _reason(value: object, is_target: bool) -> tuple[str, str] | None:
    if value is None:
        if is_target:
            return "is NULL", "leave rows without a target out, with WHERE ... IS NOT NULL"
        return "is NULL", "pass null=<number> to replace it, or leave the row out with WHERE"
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if isinstance(value, str | bytes):
        advice = "leave the column out of the query, or make it a number there with CASE or CAST"
        if not isinstance(value, str | Text):
            advice += '; if it is a vector, say so with columns={...: "float32[128]"}'
        return f"holds {held(value)}", advice
    try:
        struct.pack("=f", value)
    except OverflowError:
        return f"holds {value!r}, beyond float32's range of ±3.4e38", "scale it in the query"
    except struct.error:
        advice = "make it a number in the query"
        if isinstance(value, datetime.date):
            advice += ', or say columns={...: "datetime"}'
        return f"holds {held(value)}", advice
    return None


def held(value: object) -> str:
    """What a column holds, for a message: the text or the blob, or of what type it is."""
    if not isinstance(value, str | bytes):
        return f"a {type(value).__name__}"
    kept = repr(type(value)(value[:32])) + "..." * (len(value) > 32)  # type: ignore[arg-type]
    return f"{'text' if isinstance(value, str | Text) else 'a blob'} ({kept})"


def null_key(name: object, row: int) -> ValueError:
    """The error for a row, counted from 1, that has no key."""
    return ValueError(f"the key {name!r} is NULL in row {row} of the query; leave such rows out with WHERE")


def check_exact(name: str, column: NDArray[np.float32], values: Sequence[Any], first: int) -> None:
    """ValueError where a target's whole numbers are not what float32 holds of them. first: the first row's number."""
    if not len(column) or not np.abs(column).max() >= EXACT:
        return
    for row, (kept, value) in enumerate(zip(column.tolist(), values, strict=True), first):
        if not isinstance(value, float) and kept != value == value // 1:  # a Decimal may be whole too
            raise inexact(name, row, value)


def inexact(name: str, row: int, value: object) -> ValueError:
    """The error for a whole number in a target, in a row counted from 1, that float32 would round."""
    return ValueError(
        f"target {name!r} holds the whole number {value} in row {row} of the query, which float32 cannot hold exactly; "
        "number the classes from 0, or CAST it AS REAL in the query if rounding is meant"
    )


@contextmanager
def explained(what: str, server: str, sql: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn a driver's errors into a ValueError that says what was done, and on which query. server: its name."""
    try:
        yield
    except errors as error:
        query = f"; the query is: {sql}" if sql else ""
        raise ValueError(f"{what}; {server} says: {' '.join(str(error).split())}{query}") from error


def check_names(columns: Sequence[Any]) -> tuple[str, ...]:
    """The names of a result's columns; ValueError where two are the same or there is none."""
    names = tuple(map(str, columns))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(
            f"the query gives more than one column the name {twice[0]!r}; its columns are {listed(names)}; rename one "
            "with AS"
        )
    return names


def check_unchanged(expected: Sequence[str], names: Sequence[str]) -> None:
    """ValueError where a query's columns are others than they were."""
    if tuple(names) != tuple(expected):
        raise ValueError(
            f"the query's columns have changed: they were {listed(expected)} and are now {listed(names)}; start again, "
            "or name the columns in the query"
        )
