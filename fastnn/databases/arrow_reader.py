"""Rows of an Arrow stream: of DuckDB, ADBC, polars, pyarrow, of whatever has ``__arrow_c_stream__``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._numbers import EXACT

from .arrow_values import Batches, field_of
from .native import StreamError, transpose
from .reader import Block, Reader, check_exact, check_names, check_unchanged, explained, refused

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from .reader import Wanted

# Values of a block: so few that they stay in a processor's own cache until they are taken.
_VALUES = 2**16


class ArrowReader(Reader):
    """A table or a stream with ``__arrow_c_stream__``, or a function that makes a new one for each pass.

    A table is read anew in each pass; what can be read once, such as a RecordBatchReader, in one. Raises TypeError for
    what is neither, and ValueError, in the words of the stream's producer, where it fails.
    """

    def __init__(self, source: Any) -> None:
        self._source, self._passes = source, 0
        self._opened: Batches | None = None
        self.address = ("arrow", f"a {type(source).__name__}")
        names = getattr(source, "columns", None)
        # A relation of DuckDB keeps its connection busy from when it is opened.
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            with explained("con cannot be read", "the stream", "", (StreamError,)):
                self._opened = self._stream()
            names = self._opened.columns
        self.columns = check_names(names)

    def _stream(self) -> Batches:
        source = self._source
        if not hasattr(source, "__arrow_c_stream__"):
            source = source()
            if not hasattr(source, "__arrow_c_stream__"):
                raise TypeError(f"con must give an object with __arrow_c_stream__, and gave a {type(source).__name__}")
        elif self._passes and _is_read_once(source):
            raise self._once()
        self._passes += 1
        return Batches(source.__arrow_c_stream__())

    def _once(self) -> ValueError:
        return ValueError(
            f"con is a {type(self._source).__name__}, which can be read once, and has been; pass a table, or a "
            "function that makes a new one for each pass"
        )

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        with explained("con cannot be read", "the stream", "", (StreamError,)):
            opened, self._opened = self._opened or self._stream(), None
        yield from blocks_of([opened], self.columns, wanted, "the stream")


def _is_read_once(source: Any) -> bool:
    """Whether it is a stream rather than a table: an iterator, or a handle that is released."""
    return hasattr(type(source), "__next__") or hasattr(source, "release")


def blocks_of(
    streams: Iterable[Batches],
    columns: tuple[str, ...],
    wanted: Wanted,
    server: str,
    sql: str = "",
    errors: tuple[type[Exception], ...] = (),
) -> Generator[Block, None, None]:
    """The rows of streams one after the other, as ``Reader.blocks``. server, sql, errors: as of ``explained``."""
    rows, each = 0, iter(streams)
    errors = (StreamError, *errors)
    while True:
        with explained(f"the query failed after {rows} rows", server, sql, errors):
            stream = next(each, None)
        if stream is None:
            return
        with closing(stream):
            check_unchanged(columns, stream.columns)
            convert = _Converter(stream, wanted)
            while True:
                with explained(f"the query failed after {rows} rows", server, sql, errors):
                    if not stream.next():
                        break
                for at in range(0, stream.rows, convert.rows_at_once):
                    block = convert(at, rows + 1)
                    rows += len(block.numbers)
                    yield block


class _Converter:
    """Rows of a stream's batch: (the first's place in the batch, its number in all) -> Block."""

    def __init__(self, stream: Batches, wanted: Wanted) -> None:
        self._stream, self._null = stream, wanted.null
        self._names = [*wanted.numbers, *wanted.targets]
        self._features = len(wanted.numbers)
        self._indirect: set[int] = set()
        self._places = [stream.columns.index(name) for name in self._names]
        self._others = [stream.columns.index(name) for name in wanted.others]
        for place in (*self._places, *self._others):
            reason = stream.unreadable(place, place in self._places)
            if reason is not None:
                raise ValueError(f"column {stream.columns[place]!r} {reason}")
        self.rows_at_once = max(1, _VALUES // max(1, len(self._places) + 4 * len(self._others)))

    def __call__(self, at: int, number: int) -> Block:
        n = min(self.rows_at_once, self._stream.rows - at)
        others = []
        for place in self._others:
            column = np.empty(n, object)
            column[:] = self._stream.objects(place, at, n)
            others.append(column)
        return Block(self._numbers(at, n, number), others)

    def _numbers(self, at: int, n: int, number: int) -> NDArray[np.float32]:
        numbers = np.empty((n, len(self._names)), np.float32)
        while True:
            row, column = self._transposed(numbers, at)
            if row == n:
                break
            [value] = self._stream.objects(self._places[column], at + row, 1)
            error = refused(self._names[column], number + row, value, column >= self._features)
            if error is not None or column in self._indirect:
                raise error or AssertionError("no value explains why the rows were refused")
            self._indirect.add(column)  # a decimal of more digits than a double has
        for column in range(self._features, len(self._names)):
            place, kept = self._places[column], numbers[:, column]
            if self._stream.formats[place] not in ("f", "g") and n and np.abs(kept).max() >= EXACT:
                check_exact(self._names[column], kept, self._stream.objects(place, at, n), number)
        return numbers

    def _transposed(self, numbers: NDArray[np.float32], at: int) -> tuple[int, int]:
        """Write the rows; gives the row and the column of the first value that is no number, (rows, -1) if all are."""
        row, wrong = len(numbers), -1
        fields, held = [], []
        for column, place in enumerate(self._places):
            null = self._null if column < self._features else None
            field = None if column in self._indirect else self._stream.field(place, null is not None)
            if field is None:
                values = np.full(len(numbers), np.nan)
                good = _put(self._stream.objects(place, at, len(numbers)), null, values)
                if good < row:
                    row, wrong = good, column
                field = field_of(values, at)
                held.append(values)
            fields.append(field)
        found = transpose(b"".join(fields), at, min(row + 1, len(numbers)), self._null or 0.0, numbers)
        # What is found lies before, or in the same row.
        return (row, wrong) if found is None or (row, wrong) < found else found


def _put(found: list[Any], null: float | None, values: NDArray[np.float64]) -> int:
    """Write Python's values as numbers; gives how many: fewer than all where the next is none."""
    for place, value in enumerate(found):
        if value is None and null is not None:
            value = null
        if value is None or isinstance(value, str | bytes):
            return place
        try:
            values[place] = float(value)
        except (TypeError, OverflowError):
            return place
    return len(found)
