"""Columns that are said to hold more than a number: a vector in each row, a date, a picture."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown

from .decoded import rule_of
from .reader import Block, Reader, Wanted, check_names, listed

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Sequence

    from .rules import Rule


class DeclaredReader(Reader):
    """What another reader gives, with the numbers of each column that has a rule in its place.

    rules: of columns of the reader. A column's values are whole within one row, so it is read once, whichever of its
    numbers are wanted.
    """

    def __init__(self, reader: Reader, rules: Mapping[str, str]) -> None:
        self._reader = reader
        self.rules = {name: str(kind) for name, kind in rules.items() if name in reader.columns}
        self._rules = {name: rule_of(name, kind) for name, kind in self.rules.items()}
        self._of = {part: (rule, place) for rule in self._rules.values() for place, part in enumerate(rule.parts)}
        self.columns = check_names(self.within(reader.columns))
        self.shared, self.threaded, self.empty = reader.shared, reader.threaded, reader.empty
        self.address = (*reader.address[:-1], repr(sorted(self.rules.items())), reader.address[-1])

    def within(self, names: Sequence[str]) -> list[str]:
        return [part for name in names for part in (self._rules[name].parts if name in self._rules else [name])]

    def shape_of(self, names: Sequence[str]) -> tuple[int, ...]:
        rule = self._of.get(names[0], (None,))[0] if names else None
        return rule.shape if rule is not None and rule.shape and list(names) == rule.parts else (len(names),)

    def dtype_of(self, names: Sequence[str]) -> np.dtype[Any]:
        are_bytes = all(name in self._of and self._of[name][0].is_bytes for name in names)
        return np.dtype(np.uint8 if are_bytes else np.float32)

    def interrupt(self) -> None:
        self._reader.interrupt()

    def state(self) -> Hashable | None:
        return self._reader.state()

    def since(self, key: str, value: Any) -> tuple[Reader, Any]:
        reader, last = self._reader.since(key, value)
        return DeclaredReader(reader, self.rules), last

    def cuts(self, most: int, key: str | None = None) -> Sequence[Any]:
        return self._reader.cuts(most, key)

    def part(self, cut: Any) -> Reader:
        return DeclaredReader(self._reader.part(cut), self.rules)

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
                    if at:
                        _put(rows, at, kept, parts)
                    for name in wanted.others:
                        if name in self._of and self._of[name][0] is rule:
                            columns[name] = np.full(len(rows), None, object)
                            columns[name][there] = raw[:, self._of[name][1]].tolist()
                yield Block(rows, [columns[name] for name in wanted.others])
                first += len(rows)


def _put(rows: Any, at: list[int], kept: Any, parts: list[int]) -> None:
    """The numbers of one column into their places; all of them, side by side, in one go."""
    if at == list(range(at[0], at[0] + kept.shape[1])) and parts == list(range(kept.shape[1])):
        rows[:, at[0] : at[0] + kept.shape[1]] = kept
    else:
        rows[:, at] = kept[:, parts]


def declared(reader: Reader, columns: Mapping[str, str] | None, known: bool = False) -> Reader:
    """A reader whose columns hold what `columns` says. known: raise ValueError for a name that it has no column of."""
    if columns is None:
        return reader
    if not isinstance(columns, Mapping):
        raise TypeError(
            f'columns must be a dict of what they hold, such as {{"embedding": "float32[128]"}}, got {shown(columns)}'
        )
    for name, kind in columns.items():
        rule_of(name, kind)
        if known and name not in reader.columns:
            raise ValueError(
                f"columns has the unknown column {shown(name)}{_names.hint(name, reader.columns)}; the query's columns "
                f"are {listed(reader.columns)}"
            )
    return DeclaredReader(reader, columns)


def roots(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """The columns that numbers of these names are in."""
    of = {part: name for name, kind in columns.items() for part in rule_of(name, kind).parts}
    return list(dict.fromkeys(of.get(name, name) for name in names))
