"""The rows that a model reads as values of features, each an array, and how values of one are counted by bins."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.data.columns import as_objects, column_of, columns_of
from fastnn.data.given import source_of
from fastnn.data.several import joined
from fastnn.data.source import Source
from fastnn.data.statistics import Quantiles
from fastnn.layers import DateParts, Scaler
from fastnn.layers.scaler import number_of
from fastnn.typing import Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

NUMBERS = 256  # in a row, up to which each is a feature
LEVELS, GROUP = 30, 3  # shares that quantiles are kept of; of so many bins the index takes one
FEW = 20  # different numbers, up to which each has a bin of its own
CATEGORIES, LEAST = 50, 0.005  # that are kept, and the share of rows that each has
COUNTED = 20_000  # different ones while they are counted
LONGEST = 200  # characters of one that is kept
BLOCK = 2**15


class Bins:
    """What becomes of the values of one feature: the number of a bin for each; missing ones have the last.

    edges: bin i has the numbers above edge i - 1 and up to edge i. categories: a bin for each; all others have the
    last but one.
    """

    def __init__(self, name: str, edges: Sequence[float] | None, categories: Sequence[Any] = ()) -> None:
        self.name, self.categories = name, list(categories)
        self.edges = None if edges is None else np.asarray(edges, np.float64)
        self.size = len(categories if edges is None else edges) + 2
        self._places = {category: place for place, category in enumerate(categories)}

    def count(self, values: Array) -> Counts:
        """How many values each bin has."""
        if self.edges is None:
            pairs = ((self._place(value), times) for value, times in Counter(values.tolist()).items())
            places, weights = np.array([*pairs, (0, 0)]).T
            return np.bincount(places, weights, self.size).astype(np.int64)
        places = np.searchsorted(self.edges, values)  # NaN comes behind all numbers
        places[np.isnan(values)] = self.size - 1
        return np.bincount(places, minlength=self.size)

    def _place(self, value: Any) -> int:
        return self.size - 1 if value is None else self._places.get(value, self.size - 2)


class Seen:
    """What is known of a feature when all of its values have come: `bins` for them."""

    def __init__(self) -> None:
        self._ranks, self._different, self._kinds = Quantiles(), np.empty(0), Counter[Any]()

    def add(self, values: Array) -> None:
        if values.dtype.kind == "O":
            self._kinds.update(values.tolist())
            if len(self._kinds) > 2 * COUNTED:
                self._kinds = Counter(dict(self._kinds.most_common(COUNTED)))
            return
        self._ranks.add(values)
        if len(self._different) <= FEW:
            self._different = np.union1d(self._different, values[np.isfinite(values)])

    def bins(self, name: str) -> Bins:
        """Quantiles of many different numbers, places between few, or frequent categories."""
        if self._kinds:
            least = LEAST * sum(self._kinds.values())
            common = [value for value, times in self._kinds.most_common(CATEGORIES + 1) if times >= least]
            common = [value for value in common if value is not None and len(str(value)) <= LONGEST]
            return Bins(name, None, common[:CATEGORIES])
        if len(self._different) > FEW:
            edges = self._ranks.at(np.arange(1, LEVELS) / LEVELS)
        else:
            edges = _around(self._different)
        return Bins(name, np.unique([float(f"{edge:.9g}") for edge in edges[np.isfinite(edges)].tolist()]).tolist())


def _around(different: Array) -> Array:
    """Edges below, between and above few numbers."""
    apart = np.diff(different) if len(different) > 1 else np.ones(1)
    middles = (different[1:] + different[:-1]) / 2
    return np.concatenate([different[:1] - apart[0] / 2, middles, different[-1:] + apart[-1] / 2])


class Features:
    """The features of a model's inputs: `names`, and what rows hold of each.

    A column that the model prepares itself is a feature: numbers, or categories; a date is none, as time goes on. Else
    each number of a row is one, where there are at most 256; of larger rows the mean and the deviation are.
    """

    def __init__(self, built: Any) -> None:
        self._built, self._reads, front = built, built.reads(), built.front
        inputs = list(zip(self._reads.names, self._reads.shapes, strict=True))
        self.width = sum(prod(shape) for _, shape in inputs)
        self._kinds: list[str] = []
        self.wide = front is None and self.width > NUMBERS
        if front is not None:
            readers = [{type(step.layer) for step in front.steps if i in step.reads} for i in range(len(inputs))]
            pairs = zip(front.dtypes, readers, strict=True)
            self._kinds = ["number" if dtype == "float32" else _kind(read) for dtype, read in pairs]
            self.names = [name for (name, _), kind in zip(inputs, self._kinds, strict=True) if kind != "date"]
        elif self.wide:
            self.names = ["mean", "deviation"]
        elif len(built.columns) == self.width:
            self.names = list(built.columns)
        else:
            sizes = ((name or "x", prod(shape)) for name, shape in inputs)
            self.names = [f"{name}[{k}]" if n > 1 else name for name, n in sizes for k in range(n)]

    def read(self, x: Any) -> Array | list[Array]:
        """What rows hold, as `predict` takes them: (rows, features), or an array for each feature.

        ValueError, TypeError as `predict`.
        """
        reads = self._reads
        if reads.front is not None:
            return self._columns(columns_of(x, reads))
        columns = self._built.columns
        if isinstance(x, Mapping) and len(reads.names) == 1 and reads.names[0] not in x and set(x) == set(columns):
            x = np.stack([x[name] for name in columns], axis=-1).reshape(-1, len(columns))
        rows = joined(x, reads.names, reads.shapes, "x", ids=reads.ids)
        return self._numbers(rows.reshape(-1, self.width) if rows.ndim < 2 else rows)

    def blocks(self, x: Any) -> Iterator[Array | list[Array]]:
        """The same of much data, whatever `fit` takes as x, some rows at a time."""
        reads = self._reads
        if reads.front is None:
            source = source_of(x, None, None, reads)
            self._built.check_source(source, "x")
            for page in source.pages(BLOCK):
                for start in range(0, len(page.x), BLOCK):
                    yield self._numbers(page.x[start : start + BLOCK])
        elif hasattr(x, "typed"):  # a query
            kinds = dict(zip(reads.names, reads.front.dtypes, strict=True))
            kinds = {name: kind for name, kind in kinds.items() if name in x.columns or name not in reads.optional}
            missing = dict(zip(reads.names, reads.front.missing, strict=True))
            for found in x.typed(kinds, missing):
                rows = len(next(iter(found.values())))
                yield self._columns([found.get(n, np.full(rows, missing[n], object)) for n in reads.names])
        elif isinstance(x, Source):
            raise TypeError(f"x must be columns by their names, or SQLDataset, got a {type(x).__name__}")
        else:
            columns = columns_of(x, reads)
            for start in range(0, len(columns[0]), BLOCK):
                yield self._columns([column[start : start + BLOCK] for column in columns])

    def _numbers(self, rows: Array) -> Array:
        if prod(rows.shape[1:]) != self.width:
            raise ValueError(f"x has rows of {prod(rows.shape[1:])} numbers, but the model reads {self.width}")
        rows = rows.reshape(len(rows), self.width)
        if self.wide:
            return np.stack([rows.mean(axis=1, dtype=np.float64), rows.std(axis=1, dtype=np.float64)], axis=1)
        return rows.astype(np.float64)  # a copy: what is lent may change

    def _columns(self, columns: Sequence[Array]) -> list[Array]:
        front, found = self._reads.front, []
        for column, kind, dtype, name, missing in zip(
            columns, self._kinds, front.dtypes, self._reads.names, front.missing, strict=True
        ):
            if kind == "date":
                continue
            array = column_of(column, dtype, f"x[{name!r}]").ravel()
            if dtype == "float32":
                found.append(array.astype(np.float64))
                continue
            values = [None if value in (missing, "") else value for value in array.tolist()]
            if kind == "number":
                numbers = [math.nan if value is None else number_of(value) for value in values]
                found.append(np.array([math.nan if each is None else each for each in numbers]))
            else:
                found.append(as_objects(values, array.shape))
        return found


def _kind(readers: set[type]) -> str:
    return "date" if readers == {DateParts} else "number" if readers == {Scaler} else "category"


def by_feature(parts: Sequence[Array | list[Array]]) -> Sequence[Array]:
    """The values of each feature, of what ``Features.read`` gave for some rows and for others."""
    if isinstance(parts[0], list):
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    return np.concatenate(parts).T


def bins_of(config: Mapping[str, Any]) -> tuple[Bins, Counts]:
    """A feature as a model's notes have it, and how often its bins had a row. ValueError for what is none."""
    edges, counts = config.get("edges"), np.asarray(config["counts"])
    made = Bins(config["name"], edges, config.get("categories", ()))
    if counts.dtype.kind != "i" or counts.shape != (made.size,) or counts.min() < 0 or not counts.sum():
        raise ValueError(f"{config['name']!r} must have {made.size} counts of rows")
    if edges is not None and not (np.isfinite(made.edges).all() and (np.diff(made.edges) > 0).all()):
        raise ValueError(f"{config['name']!r} must have edges that rise")
    return made, counts
