"""Columns that are said to hold more than a number: a vector in each row, or a date."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import shown

from .reader import Block, Reader, Wanted, check_exact, check_names, held, listed, refused

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Sequence

    from numpy.typing import NDArray

_VECTOR = re.compile(r"(float(?:16|32|64)|u?int(?:8|16|32|64))\[([1-9]\d{0,6})\]")
_EPOCH, _DAY = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(days=1)


class Rule(NamedTuple):
    """What a column holds: vectors of a type and length, or (length 0) dates, as `kind` says it."""

    name: str
    kind: str
    dtype: Any = None
    length: int = 0

    @property
    def parts(self) -> list[str]:
        """The numbers that it is, by their names."""
        return [f"{self.name}.{place}" for place in range(self.length)] if self.length else [self.name]

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
        if self.length:
            raw = self._vectors(found, rows, bool(targets))
        else:
            raw = np.array([*map(self._days, found, rows)], float).reshape(-1, 1)
        if raw.dtype == object:
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

    def _vectors(self, values: list[Any], rows: list[int], exact: bool) -> NDArray[Any]:
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
                raise self._refused(f"a blob of {len(value)} bytes", row, f" of {size} bytes")
            return np.frombuffer(value, self.dtype)
        found = value
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                found = json.loads(value)
        if not isinstance(found, list | np.ndarray):
            raise self._refused(held(value), row)
        if len(found) != self.length:
            raise self._refused(f"{len(found)} numbers", row)
        try:
            array = np.array(found)
        except ValueError:  # lists within it, of several lengths
            array = np.empty((0, 0))
        if array.ndim != 1 or array.dtype.kind not in "biufO" or (array.dtype.kind == "O" and None in found):
            raise self._refused(held(value), row)
        return np.array(found, object) if exact and isinstance(found, list) else array

    def _days(self, value: Any, row: int) -> float:
        """Days since 1970, in UTC."""
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.datetime.fromisoformat(value)
            except ValueError:
                raise self._refused(held(value), row, ', such as "2026-01-31 12:00:00",') from None
        if isinstance(moment, datetime.datetime):
            days = ((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)) - _EPOCH) / _DAY
        elif isinstance(moment, datetime.date):
            days = moment.toordinal() - _EPOCH.toordinal()
        else:
            raise self._refused(held(value), row)
        return float(days // 1) if self.kind == "date" else days

    def _refused(self, holds: str, row: int, more: str = "") -> ValueError:
        return ValueError(
            f"column {self.name!r} holds {holds} in row {row} of the query, where {self.kind!r}{more} is expected"
        )


class DeclaredReader(Reader):
    """What another reader gives, with the numbers of each column that has a rule in its place.

    rules: of columns of the reader. A column's values are whole within one row, so it is read once, whichever of its
    numbers are wanted.
    """

    def __init__(self, reader: Reader, rules: Mapping[str, str]) -> None:
        self._reader = reader
        self.rules = {name: kind for name, kind in rules.items() if name in reader.columns}
        self._rules = {name: _rule(name, kind) for name, kind in self.rules.items()}
        self._of = {part: (rule, place) for rule in self._rules.values() for place, part in enumerate(rule.parts)}
        self.columns = check_names(self.within(reader.columns))
        self.shared, self.threaded, self.empty = reader.shared, reader.threaded, reader.empty
        self.address = (*reader.address[:-1], repr(sorted(self.rules.items())), reader.address[-1])

    def within(self, names: Sequence[str]) -> list[str]:
        return [part for name in names for part in (self._rules[name].parts if name in self._rules else [name])]

    def interrupt(self) -> None:
        self._reader.interrupt()

    def state(self) -> Hashable | None:
        return self._reader.state()

    def since(self, key: str, value: Any) -> tuple[Reader, Any]:
        reader, last = self._reader.since(key, value)
        return DeclaredReader(reader, self.rules), last

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        names = [*wanted.numbers, *wanted.targets]
        numbers, targets, others = ([name for name in group if name not in self._of] for group in wanted[:3])
        # Of each rule the places in a row, and the parts that come there.
        places: dict[Rule, tuple[list[int], list[int]]] = {}
        for place, name in enumerate([*names, *wanted.others]):
            if name in self._of:
                rule, part = self._of[name]
                at, parts = places.setdefault(rule, ([], []))
                if place < len(names):
                    at.append(place)
                    parts.append(part)
        inner = Wanted(numbers, targets, [*others, *(rule.name for rule in places)], wanted.null)
        plain = [place for place, name in enumerate(names) if name not in self._of]
        first = 1
        with closing(self._reader.blocks(inner)) as blocks:
            for block in blocks:
                rows = np.empty((len(block.numbers), len(names)), np.float32)
                rows[:, plain] = block.numbers
                columns = dict(zip(inner.others, block.others, strict=True))
                for rule, (at, parts) in places.items():
                    exact = [part for place, part in zip(at, parts, strict=True) if place >= len(wanted.numbers)]
                    kept, raw, there = rule.numbers(columns[rule.name], first, exact, wanted.null if at else 0.0)
                    rows[:, at] = kept[:, parts]
                    for name in wanted.others:
                        if name in self._of and self._of[name][0] is rule:
                            columns[name] = np.full(len(rows), None, object)
                            columns[name][there] = raw[:, self._of[name][1]].tolist()
                yield Block(rows, [columns[name] for name in wanted.others])
                first += len(rows)


def declared(reader: Reader, columns: Mapping[str, str] | None, known: bool = False) -> Reader:
    """A reader whose columns hold what `columns` says. known: raise ValueError for a name that it has no column of."""
    if columns is None:
        return reader
    if not isinstance(columns, Mapping):
        raise TypeError(
            f'columns must be a dict of what they hold, such as {{"embedding": "float32[128]"}}, got {shown(columns)}'
        )
    for name, kind in columns.items():
        _rule(name, kind)
        if known and name not in reader.columns:
            raise ValueError(
                f"columns has the unknown column {shown(name)}{_names.hint(name, reader.columns)}; the query's columns "
                f"are {listed(reader.columns)}"
            )
    return DeclaredReader(reader, columns)


def roots(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """The columns that numbers of these names are in."""
    of = {part: name for name, kind in columns.items() for part in _rule(name, kind).parts}
    return list(dict.fromkeys(of.get(name, name) for name in names))


def _rule(name: str, kind: str) -> Rule:
    if isinstance(kind, str) and kind in ("date", "datetime"):
        return Rule(name, kind)
    found = _VECTOR.fullmatch(kind) if isinstance(kind, str) else None
    if found is None:
        raise ValueError(
            f"columns[{name!r}] must be a vector such as 'float32[128]', with the type and the count of its numbers, "
            f"'date' or 'datetime', got {shown(kind)}"
        )
    return Rule(name, kind, np.dtype(found[1]).newbyteorder("<"), int(found[2]))
