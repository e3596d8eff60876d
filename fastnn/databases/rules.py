"""What a column is said to hold: vectors of numbers, dates; and how its values become numbers."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .reader import Text, check_exact, held, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EPOCH, _DAY = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(days=1)


class Rule:
    """What a column holds: numbers of a `shape`, () for one, as `kind` says it."""

    is_bytes = False  # whether each of its numbers is a whole one from 0 to 255

    def __init__(self, name: str, kind: str, shape: tuple[int, ...] = ()) -> None:
        self.name, self.kind, self.shape = name, kind, shape
        self.length = prod(shape) if shape else 0

    @property
    def parts(self) -> list[str]:
        """The numbers that it is, by their names."""
        return [f"{self.name}.{place}" for place in range(self.length)] if self.length else [self.name]

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """(rows, parts) of the values of rows of these numbers. exact: whole numbers are not rounded. ValueError for
        what is none of the kind."""
        raise NotImplementedError

    def numbers(self, values: Any, first: int, targets: Sequence[int], null: float | None) -> tuple[Any, Any, Any]:
        """Values as they come -> (rows, parts), float32; the same of those that are there, unrounded; which these are.

        first: the number of the first row. targets: the places of those parts that are targets. ValueError for what is
        none of the kind, and for what ``Reader.blocks`` refuses.
        """
        there = np.array([value is not None for value in values.tolist()], bool)
        if not there.all() and (null is None or targets):
            raise refused(self.name, first + int(there.argmin()), None, bool(targets)) or AssertionError
        rows = (np.flatnonzero(there) + first).tolist()
        found = values[there].tolist()
        raw = self.decoded(found, rows, bool(targets))
        if raw.dtype in (np.float32, np.uint8):
            kept = raw.astype(np.float32, copy=False)
        elif raw.dtype == object:
            kept = self._of_objects(raw, rows)
        else:
            with np.errstate(over="ignore"):
                kept = raw.astype(np.float32)
            beyond = np.isinf(kept)
            if beyond.any() and (beyond := beyond & np.isfinite(raw)).any():
                row, part = np.argwhere(beyond)[0].tolist()
                raise refused(self.parts[part], rows[row], raw[row, part].item(), False) or AssertionError
        for part in targets:
            check_exact(self.parts[part], kept[:, part], raw[:, part].tolist(), first)
        if len(rows) == len(values):
            return kept, raw, there
        filled = np.full((len(values), kept.shape[1]), null, np.float32)
        filled[there] = kept
        return filled, raw, there

    def _of_objects(self, raw: NDArray[Any], rows: list[int]) -> NDArray[np.float32]:
        """Numbers of several types: whole ones and others, decimals."""
        for row, values in zip(rows, raw.tolist(), strict=True):
            for part, value in zip(self.parts, values, strict=True):
                if error := refused(part, row, value, False):
                    raise error
        return raw.astype(np.float32)

    def wrong(self, holds: str, row: int, more: str = "") -> ValueError:
        return ValueError(
            f"column {self.name!r} holds {holds} in row {row} of the query, where {self.kind!r}{more} is expected"
        )

    def text_of(self, value: Any, row: int) -> str:
        """A value that is text, which a database may give as bytes. ValueError for another."""
        if isinstance(value, str):
            return value
        if not isinstance(value, Text | bytes | bytearray | memoryview):
            raise self.wrong(held(value), row)
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise self.wrong("text that is not UTF-8", row) from None


class Numbers(Rule):
    """A number, of the types that a database or a document has."""

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        raw = np.empty((len(values), 1), object)
        raw[:, 0] = values
        return raw


class Vector(Rule):
    """Vectors of a type and length."""

    def __init__(self, name: str, kind: str, dtype: Any, length: int) -> None:
        super().__init__(name, kind, (length,))
        self.dtype = dtype

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        size = self.length * self.dtype.itemsize
        if all(type(value) is bytes and len(value) == size for value in values):
            return np.frombuffer(b"".join(values), self.dtype).reshape(-1, self.length)
        arrays = [self._vector(value, row, exact) for value, row in zip(values, rows, strict=True)]
        # Whole numbers beside others would be rounded to float64 before they are looked at.
        return np.stack(arrays if len({array.dtype for array in arrays}) == 1 else [a.astype(object) for a in arrays])

    def _vector(self, value: Any, row: int, exact: bool) -> NDArray[Any]:
        if type(value) is bytes:
            size = self.length * self.dtype.itemsize
            if len(value) != size:
                raise self.wrong(f"a blob of {len(value)} bytes", row, f" of {size} bytes")
            return np.frombuffer(value, self.dtype)
        found = value
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                found = json.loads(value)
        if not isinstance(found, list | np.ndarray):
            raise self.wrong(held(value), row)
        if len(found) != self.length:
            raise self.wrong(f"{len(found)} numbers", row)
        try:
            array = np.array(found)
        except ValueError:  # lists within it, of several lengths
            array = np.empty((0, 0))
        if array.ndim != 1 or array.dtype.kind not in "biufO" or (array.dtype.kind == "O" and None in found):
            raise self.wrong(held(value), row)
        return np.array(found, object) if exact and isinstance(found, list) else array


class Dates(Rule):
    """Dates, with their time or without."""

    def decoded(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
        """As Rule's."""
        return np.array([*map(self._days, values, rows)], float).reshape(-1, 1)

    def _days(self, value: Any, row: int) -> float:
        """Days since 1970, in UTC."""
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.datetime.fromisoformat(value)
            except ValueError:
                raise self.wrong(held(value), row, ', such as "2026-01-31 12:00:00",') from None
        if isinstance(moment, datetime.datetime):
            days = ((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)) - _EPOCH) / _DAY
        elif isinstance(moment, datetime.date):
            days = moment.toordinal() - _EPOCH.toordinal()
        else:
            raise self.wrong(held(value), row)
        return float(days // 1) if self.kind == "date" else days
