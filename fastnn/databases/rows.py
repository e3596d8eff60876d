"""Rows as a driver gives them, tuples of Python's values, to blocks."""

from __future__ import annotations

import struct
from itertools import starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .reader import Block, check_exact, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .reader import Wanted

Row = tuple[Any, ...]

# Rows and values of one fetch: few enough that their Python objects stay in cache.
_ROWS, _VALUES = 512, 2**14


class RowConverter:
    """Picks what is wanted out of rows: (list of rows, number of the first) -> Block. Errors as ``Reader.blocks``."""

    def __init__(self, columns: Sequence[str], wanted: Wanted) -> None:
        self._names = [*wanted.numbers, *wanted.targets]
        self._features, self._null = len(wanted.numbers), wanted.null
        places = [columns.index(name) for name in self._names]
        self._others = [columns.index(name) for name in wanted.others]
        self._pick = None if places == list(range(len(columns))) else itemgetter(*places) if places else None
        # Measured on 20 REAL columns: 0.44 Mrow/s where np.fromiter has 0.42, a type check before
        # it 0.36 and bare fetching 0.48; and struct takes no NULL, text or blob for a number and
        # no number that overflows. "=" is the form that checks for overflow.
        self._pack = struct.Struct(f"={len(places)}f").pack
        self.rows_at_once = max(1, min(_ROWS, _VALUES // max(1, len(columns))))

    def __call__(self, rows: list[Row], first: int) -> Block:
        return Block(self._numbers(rows, first), [_objects([row[place] for row in rows]) for place in self._others])

    def _numbers(self, rows: list[Row], first: int) -> NDArray[np.float32]:
        if not self._names:
            return np.empty((len(rows), 0), np.float32)
        picked = self._picked(rows)
        try:
            data = bytearray().join(starmap(self._pack, picked))
        except (struct.error, OverflowError):
            picked = [self._filled(row) for row in picked]
            try:
                data = bytearray().join(starmap(self._pack, picked))
            except (struct.error, OverflowError):
                raise self._error(picked, first) from None
        block = np.frombuffer(data, np.float32).reshape(len(rows), len(self._names))
        for place in range(self._features, len(self._names)):
            check_exact(self._names[place], block[:, place], [row[place] for row in picked], first)
        return block

    def _picked(self, rows: list[Row]) -> list[Row]:
        if self._pick is None:
            return rows
        if len(self._names) == 1:
            return [(self._pick(row),) for row in rows]
        return list(map(self._pick, rows))

    def _filled(self, row: Row) -> Row:
        null, n = self._null, self._features
        if null is None or None not in row:
            return row
        return (*(null if value is None else value for value in row[:n]), *row[n:])

    def _error(self, picked: list[Row], first: int) -> ValueError:
        for number, row in enumerate(picked, first):
            for column, value in enumerate(row):
                error = refused(self._names[column], number, value, column >= self._features)
                if error is not None:
                    return error
        raise AssertionError("no value explains why the rows were refused")


def _objects(values: list[Any]) -> NDArray[np.object_]:
    column = np.empty(len(values), object)
    column[:] = values
    return column
