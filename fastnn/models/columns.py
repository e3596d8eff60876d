"""What the columns of a query hold, found out by reading them: their kinds, ranges, categories and what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.data.columns import iso_text
from fastnn.data.statistics import Moments, Quantiles
from fastnn.data.stored import StoredSource
from fastnn.layers.date_parts import seconds_of
from fastnn.layers.scaler import number_of
from fastnn.typing import Array

NUMBERS, NUMERALS, INTEGERS, TEXTS, DATES, NOTHING = "numbers", "numerals", "integers", "texts", "dates", "nothing"
SAMPLE = 10_000  # rows that tell of what kind a column is
MOST_VALUES = 100_000  # different ones that are counted; of more it is known that there are more
MOST_CLASSES = 1000
FEW = 20  # classes that may be called by numbers
_KEY = re.compile(r"(?:^|_)(?:id|code|zip|zipcode|postcode)$|Id$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Column:
    """What is known of a column.

    kind: NUMBERS; NUMERALS, numbers that lie there as text; INTEGERS, whole numbers that name something; TEXTS; DATES;
    NOTHING, where all is NULL. rows, nulls: how many. values: of a column of anything but numbers, how often each is
    there; many: that there are more than are counted. by_rank: whether its quantiles will be asked for.
    """

    def __init__(self, name: str, kind: str, by_rank: bool = False) -> None:
        self.name, self.kind, self.by_rank = name, kind, by_rank
        self.rows = self.nulls = 0
        self.values: Counter[Any] = Counter()
        self.many = False
        self._plain, self._logs = Moments(1), Moments(1)
        self._quantiles = Quantiles()

    def add_numbers(self, numbers: Array) -> None:
        """Take numbers into account, NaN for NULL."""
        infinite = np.isinf(numbers)
        if infinite.any():
            raise ValueError(
                f"column {self.name!r} holds an infinity in row {self.rows + int(infinite.argmax()) + 1} of those "
                "that were read; leave such rows out, or replace it in the query"
            )
        self.rows += len(numbers)
        self.nulls += int(np.isnan(numbers).sum())
        rows = numbers[:, None].astype(np.float64)
        self._plain.add(rows)
        self._logs.add(np.log1p(np.maximum(rows, 0)))
        if self.by_rank:
            self._quantiles.add(rows)

    def add_values(self, values: list[Any]) -> None:
        """Take anything else into account, None for NULL."""
        self.rows += len(values)
        if self.kind == DATES:
            values = [iso_text(each) if isinstance(each, date) else each for each in values]
        counts = Counter(values)
        self.nulls += counts.pop(None, 0)
        if self.kind != INTEGERS:
            self.nulls += counts.pop("", 0)
        for value in counts:
            if not isinstance(value, int if self.kind == INTEGERS else str):
                raise ValueError(
                    f"column {self.name!r} holds {shown(value)}, where "
                    f"{'whole numbers' if self.kind == INTEGERS else 'texts'} are expected; CAST it in the "
                    "query, or leave it out"
                )
        if self.many:
            counts = Counter({value: times for value, times in counts.items() if value in self.values})
        self.values.update(counts)
        self.many |= len(self.values) > MOST_VALUES
        if self.kind == NUMERALS:
            self._add_numerals(values)
        elif self.kind == DATES and any(seconds_of(value) is None for value in counts):
            self.kind = TEXTS

    def _add_numerals(self, values: list[Any]) -> None:
        known = {value: number_of(value) for value in set(values) if value is not None}
        if None in known.values():
            self.kind = TEXTS
            return
        numbers = np.array([np.nan if value is None else known[value] for value in values])
        rows, nulls = self.rows, self.nulls
        self.add_numbers(numbers)
        self.rows, self.nulls = rows, nulls + int(np.isnan(numbers).sum()) - sum(not value for value in values)

    # What is said of it.

    def said(self) -> str:
        """What it holds, in words."""
        missing = f", {100 * self.nulls / self.rows:.3g} % NULL" if self.nulls else ""
        if self.kind == NOTHING:
            return "NULL"
        if self.kind in (NUMBERS, NUMERALS):
            kind = "numbers" if self.kind == NUMBERS else "numbers as text"
            return f"{kind}, {self._plain.least[0]:g} to {self._plain.most[0]:g}{missing}"
        if self.kind == DATES:
            return f"dates, {self.ends[0]} to {self.ends[1]}{missing}"
        kind = "text" if self.kind == TEXTS else "whole numbers"
        count = f"more than {MOST_VALUES:,}" if self.many else f"{len(self.values):,}"
        return f"{kind}, {count} different{missing}"

    @cached_property
    def ends(self) -> tuple[Any, Any]:
        """The earliest and the latest of the dates that were counted, once all are."""
        return min(self.values, key=seconds_of), max(self.values, key=seconds_of)  # type: ignore[arg-type]

    def is_constant(self) -> bool:
        """Whether it says nothing: one value, and no NULL."""
        if self.kind in (NUMBERS, NUMERALS):
            return bool(self._plain.least[0] == self._plain.most[0]) and not self.nulls
        return len(self.values) == 1 and not self.nulls

    def has_no_value_twice(self) -> bool:
        """Whether no value comes twice, as far as they were counted."""
        return sum(self.values.values()) == len(self.values)

    def is_skewed(self, least: float) -> bool:
        """Whether its numbers, none below 0, lie far more evenly by their logarithms."""
        skewness, of_logs = self._plain.skewness[0], self._logs.skewness[0]
        return bool(self._plain.least[0] >= 0 and skewness > least and abs(of_logs) < skewness / 2)

    def statistics(self, log: bool) -> tuple[Moments, list[Quantiles]]:
        """What ``Scaler.take`` takes. ValueError for logarithms of numbers below 0."""
        if not log:
            return self._plain, [self._quantiles]
        if self._plain.least[0] < 0:
            raise ValueError(f"'log' is for numbers from 0 on, and the least is {self._plain.least[0]:g}")
        return self._logs, [self._quantiles.mapped(np.log1p)]

    def date_parts(self) -> tuple[str, ...]:
        """Those parts of its dates that differ."""
        times = [float(seconds_of(value) or 0) for value in self.values]
        days = (max(times) - min(times)) / 86400
        timed = any(time % 86400 for time in times)
        parts = {"time": True, "month": days > 60, "day": 7 < days <= 400, "weekday": days > 2, "hour": timed}
        return tuple(part for part, differs in parts.items() if differs)

    def ranked(self, least: int) -> tuple[list[Any], bool]:
        """The values that come at least so often, the most frequent first, and whether there are others."""
        ranked = sorted(self.values.items(), key=lambda each: (-each[1], each[0]))
        kept = [value for value, times in ranked if times >= least]
        return (kept, len(kept) < len(ranked)) if kept else ([value for value, _ in ranked], False)

    def classes(self) -> list[Any]:
        """The values as classes, in their order. ValueError for NULL, and for too many."""
        if self.nulls:
            raise ValueError(
                f"target {self.name!r} is NULL or empty in {self.nulls:,} rows; leave rows without a target out, with "
                "WHERE ... IS NOT NULL"
            )
        if self.many or len(self.values) > MOST_CLASSES:
            raise ValueError(
                f"target {self.name!r} is text with more than {MOST_CLASSES:,} different values, which are no classes; "
                "make a number of it in the query, or name another target"
            )
        return sorted(self.values)


def read(
    source: StoredSource, rules: Mapping[str, Mapping[str, Any]], target: str | None
) -> tuple[list[Column], Column | None]:
    """The columns of a source's features, and its target where that is a text. rules: of each feature.

    ValueError for what is no number, text or date.
    """
    names = [name for name in source.columns if rules[name].get("as") != "skip"]
    kinds = _kinds(source, [*names, *([target] if target else [])], rules)
    ranked = {name for name, rule in rules.items() if rule.get("as") == "robust" or rule.get("missing") == "median"}
    found = {name: Column(name, kind, name in ranked) for name, kind in kinds.items()}
    counted = [name for name, kind in kinds.items() if kind in (NUMBERS, NOTHING)]
    numbers = [name for name in counted if name != target]
    typed = {name: "float32" if name in counted else "any" for name in found}
    label = found[target] if target and kinds[target] in (TEXTS, NUMERALS) else None
    if target and label is None:  # a number, or what is refused when it is read
        typed.pop(target)
    for columns in source.typed(typed, dict.fromkeys(numbers, np.nan)):
        for name, column in columns.items():
            if name in counted:
                found[name].add_numbers(column)
            else:
                found[name].add_values(column.tolist())
    if label is not None and label.kind == NUMERALS and len(label.values) > FEW:
        label = None  # text that says a number is one of few classes, or is refused when it is read
    skipped = [Column(name, NOTHING) for name in source.columns if name not in names]
    columns_of = {**{each.name: each for each in skipped}, **found}
    return [columns_of[name] for name in source.columns], label


def _kinds(source: StoredSource, names: list[str], rules: Mapping[str, Any]) -> dict[str, str]:
    """The kind of each column, by its first rows; by all where some are all NULL so far."""
    seen: dict[str, list[Any]] = {name: [] for name in names}
    known: set[str] = set()
    rows = 0
    for columns in source.typed(dict.fromkeys(names, "any")):
        for name, column in columns.items():
            if name not in known or rows < SAMPLE:
                values = column[: max(SAMPLE - rows, 1)].tolist()
                values = values if rows < SAMPLE else [each for each in column.tolist() if each is not None][:1]
                seen[name] += values
                if any(each is not None for each in values):
                    known.add(name)
        rows += len(next(iter(columns.values())))
        if rows >= SAMPLE and len(known) == len(names):
            break
    return {name: _kind(name, values, rules.get(name, {}).get("as")) for name, values in seen.items()}


def _kind(name: str, values: list[Any], asked: Any) -> str:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return NOTHING
    if all(issubclass(kind, (int, float, Decimal, np.number)) for kind in kinds):
        whole = kinds == {int} and (asked in ("one_hot", "embedding", "hashing") or (not asked and _KEY.search(name)))
        return INTEGERS if whole else NUMBERS
    if all(issubclass(kind, date) for kind in kinds):
        return DATES
    if all(issubclass(kind, str) for kind in kinds):
        texts = [value for value in values if value]
        if asked in ("one_hot", "embedding", "hashing") or not texts:
            return TEXTS
        if all(_DATE.match(value) and seconds_of(value) is not None for value in texts):
            return DATES
        return NUMERALS if all(number_of(value) is not None for value in texts) else TEXTS
    first = next(value for value in values if value is not None)
    odd = (value is not None and type(value) is not type(first) for value in values)
    row = next((place for place, differs in enumerate(odd) if differs), values.index(first))
    among = f" among values such as {shown(first)}" if values[row] is not first else ""
    raise ValueError(
        f"column {name!r} holds {shown(values[row])} in row {row + 1}{among}, of which no numbers can be made as they "
        "are; CAST it in the query, or leave it out"
    )
