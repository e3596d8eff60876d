"""Rows of an SQL query to float32, strictly: what is not a number is never made one silently."""

from __future__ import annotations

import struct
from itertools import starmap
from math import prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._numbers import EXACT

from ._sqlite import Text
from .columns import as_objects, column_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .several import Several

Row = tuple[Any, ...]


class Converter:
    """Picks columns out of rows and packs them: a list of rows -> (rows, features + targets).

    null: what stands for NULL in a feature, None for an error. A target is never filled in.
    """

    def __init__(
        self,
        columns: Sequence[str],
        features: Sequence[str],
        targets: Sequence[str] = (),
        null: float | None = None,
    ) -> None:
        self._given = columns, features, targets, null
        self._names = [*features, *targets]
        self._features = len(features)
        self._null = null
        places = [columns.index(name) for name in self._names]
        self._pick = None if places == list(range(len(columns))) else itemgetter(*places)
        # Measured on 20 REAL columns: 0.44 Mrow/s where np.fromiter has 0.42, a type check before
        # it 0.36 and bare fetching 0.48; and struct takes no NULL, text or blob for a number and
        # no number that overflows. "=" is the form that checks for overflow.
        self._pack = struct.Struct(f"={len(places)}f").pack

    def __reduce__(self) -> Any:
        return Converter, self._given  # what struct has compiled is made anew

    def __call__(self, rows: list[Row], first: int) -> NDArray[np.float32]:
        """Convert `rows`; the first of them is row number `first` of the query's result."""
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
        targets = block[:, self._features :]
        if targets.size and np.abs(targets).max() >= EXACT:
            self._check_exact(picked, targets, first)
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
                reason = self._reason(column, value)
                if reason is not None:
                    return ValueError(
                        f"column {self._names[column]!r} {reason[0]} in row {number} of the query, "
                        f"where a number is expected; {reason[1]}"
                    )
        raise AssertionError("no value explains why the rows were refused")

    def _reason(self, column: int, value: object) -> tuple[str, str] | None:
        if value is None:
            if column >= self._features:
                return "is NULL", "leave rows without a target out, with WHERE ... IS NOT NULL"
            return "is NULL", "pass null=<number> to replace it, or leave the row out with WHERE"
        if isinstance(value, str | bytes):
            kind = "text" if isinstance(value, str | Text) else "a blob"
            return (
                f"holds {kind} ({_short(value)})",
                "leave the column out of the query, or make it a number there with CASE or CAST",
            )
        try:
            struct.pack("=f", value)
        except OverflowError:
            return f"holds {value!r}, beyond float32's range of ±3.4e38", "scale it in the query"
        except struct.error:
            return f"holds a {type(value).__name__}", "make it a number in the query"
        return None

    def _check_exact(self, picked: list[Row], targets: NDArray[np.float32], first: int) -> None:
        for i, row in enumerate(picked):
            for j, value in enumerate(row[self._features :]):
                if isinstance(value, int) and int(targets[i, j]) != value:
                    raise ValueError(
                        f"target {self._names[self._features + j]!r} holds the whole number "
                        f"{value} in row {first + i} of the query, which float32 cannot hold "
                        "exactly; number the classes from 0, or CAST it AS REAL in the query if "
                        "rounding is meant"
                    )


class ColumnConverter:
    """Rows of columns of several kinds to float32 through a model's front; called as ``Converter`` is.

    features: the columns that are `inputs`, in their order; of a single input all of them. The rest as ``Converter``.
    """

    def __init__(
        self,
        columns: Sequence[str],
        features: Sequence[str],
        targets: Sequence[str],
        null: float | None,
        inputs: Several,
    ) -> None:
        self._front = inputs.front
        dtypes = inputs.front.dtypes
        self._joined = len(dtypes) == 1 and len(features) > 1
        self._shapes = inputs.shapes
        self._dtypes = list(dtypes) * (len(features) if self._joined else 1)
        self._features, self._places = features, [columns.index(name) for name in features]
        numbers = [name for name, dtype in zip(features, self._dtypes, strict=True) if dtype == "float32"]
        self._targets = len(targets)
        self._numbers = Converter(columns, numbers, targets, null) if numbers or targets else None
        self.width = inputs.front.width

    def __call__(self, rows: list[Row], first: int) -> NDArray[np.float32]:
        """As ``Converter``: (rows, width + targets)."""
        numbers = np.empty((len(rows), 0), np.float32) if self._numbers is None else self._numbers(rows, first)
        columns: list[NDArray[Any]] = []
        at = 0
        for name, place, dtype in zip(self._features, self._places, self._dtypes, strict=True):
            if dtype == "float32":
                columns.append(numbers[:, at])
                at += 1
            else:
                column = as_objects([row[place] for row in rows], (len(rows),))
                columns.append(column_of(column, dtype, f"column {name!r} of the query", first))
        if self._joined:
            columns = [np.stack(columns, axis=1)]
        shaped = [column.reshape(len(rows), *shape) for column, shape in zip(columns, self._shapes, strict=True)]
        return np.concatenate([self._front.rows(shaped, first), numbers[:, at:]], axis=1)


def features_of(names: Sequence[str], inputs: Several) -> list[str]:
    """The columns, of these features of a query, that a model's inputs are. ValueError where they are not they."""
    sizes = [prod(shape) for shape in inputs.shapes]
    if len(sizes) == 1 and (sizes[0] == len(names) or inputs.names[0] not in names):
        if sizes[0] != len(names):
            raise ValueError(
                f"the model reads {sizes[0]} column(s), and the query has the features {', '.join(map(repr, names))}"
            )
        return list(names)
    for name, size in zip(inputs.names, sizes, strict=True):
        if size != 1:
            raise ValueError(f"input {name!r} reads {size} numbers, and a column of a query has one")
        if name not in names:
            raise ValueError(
                f"the query has no column {name!r}, which the model reads; it has {', '.join(map(repr, names))}"
            )
    surplus = [name for name in names if name not in inputs.names]
    if surplus:
        raise ValueError(
            f"the query has the column(s) {', '.join(map(repr, surplus))}, which the model does not read; name the "
            "columns in the query, or pass features to SQLDataset"
        )
    return list(inputs.names)


def _short(value: str | bytes) -> str:
    kept = value[:32] if not isinstance(value, Text) else Text(value[:32])
    return repr(kept) if len(value) <= 32 else repr(kept) + "..."
