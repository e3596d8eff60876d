"""Whether what comes in is still like what a model was trained on: statistics kept in the model, and two measures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_count
from fastnn.data.columns import as_objects, column_of, columns_of
from fastnn.data.given import source_of
from fastnn.data.several import joined
from fastnn.data.statistics import Quantiles
from fastnn.layers import Concatenate, DateParts, Scaler
from fastnn.layers.scaler import number_of
from fastnn.models import check_model
from fastnn.typing import Array

__all__ = ["Drift", "kolmogorov_smirnov", "population_stability_index", "reference", "typical"]

FLOOR = 1e-4  # stands for a share of nothing, of which there is no logarithm
LEVELS, GROUP = 30, 3  # shares that quantiles are kept of; of so many bins the index takes one
FEW = 20  # different numbers, up to which each has a bin of its own
NUMBERS = 256  # in a row, up to which each is a feature
CATEGORIES, LEAST, LONGEST = 50, 0.005, 200  # that are kept, the share of rows that each has, and its characters
BLOCK, AT_ONCE = 2**15, 256  # rows that are read, and that are counted together
NOTE = "reference"


def population_stability_index(expected: Any, observed: Any) -> float:
    """Return sum((o - e) * ln(o / e)) over bins; e, o are the shares of rows in each, at least 0.0001.

    expected, observed: counts of the same bins. Below 0.1 is read as little, above 0.25 as much; where nothing changed
    n and m rows in B bins have about (1/n + 1/m) chi2(B - 1). Source: Siddiqi 2006; Yurdakul and Naranjo 2020.
    """
    e, o = np.maximum(_shares(expected, observed), FLOOR)
    return float(((o - e) * np.log(o / e)).sum())


def kolmogorov_smirnov(expected: Any, observed: Any) -> float:
    """Return max |F_o - F_e|, 0 to 1, at the ends of bins: of the numbers themselves it is at most a bin's share more.

    expected, observed: counts of the same bins, in order. Source: Smirnov 1948.
    """
    return float(np.abs(np.diff(np.cumsum(_shares(expected, observed), axis=1), axis=0)).max())


def _shares(*counts: Any) -> Any:
    table = np.array([np.asarray(each, np.float64) for each in counts])
    if table.ndim != 2 or not (table >= 0).all() or not (table.sum(axis=1) > 0).all():
        raise ValueError("expected and observed must be counts of the same bins, at least 0 and not all 0")
    return table / table.sum(axis=1, keepdims=True)


class _Bins:
    # Counts the values of a feature by bins: behind those of `edges`, or of `categories` and others, missing ones'.

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.name, self.edges = config["name"], config.get("edges")
        kept = config["categories"] if self.edges is None else self.edges
        self.size = len(kept) + 2
        self._places = {None: self.size - 1, **{each: place for place, each in enumerate(kept)}}
        self.counts = np.zeros(self.size, np.int64)
        self.counts[:] = config.get("counts", 0)
        edges = np.asarray(self.edges or (), np.float64)
        if (self.counts < 0).any() or edges.ndim != 1 or not (np.diff(edges) > 0).all():
            raise ValueError(f"{self.name!r} has no such bins")

    def count(self, values: Array) -> Array:
        # How many values each bin has.
        if self.edges is None:
            places = np.array([self._places.get(each, self.size - 2) for each in values.tolist()], int)
        else:
            places = np.searchsorted(self.edges, values)
            places[np.isnan(values)] = self.size - 1
        return np.bincount(places, minlength=self.size)

    def middle(self) -> Any:
        # The median, but for a bin's width; or the most frequent category; None where none is kept.
        if self.edges is None:
            return [*self._places][1 + int(self.counts[:-2].argmax())] if self.size > 2 else None
        known = self.counts[:-1].cumsum()
        place = int(np.searchsorted(known, known[-1] / 2))
        return float(np.mean(self.edges[max(0, place - 1) : place + 1])) if self.edges else None

    def config(self) -> dict[str, Any]:
        # What a model's notes have.
        kept = {"categories": [*self._places][1:]} if self.edges is None else {"edges": self.edges}
        return {"name": self.name, **kept, "counts": self.counts.tolist()}


class _Seen:
    # What is known of a feature's values when all have come.

    def __init__(self) -> None:
        self._ranks, self._different, self._kinds = Quantiles(), np.empty(0), Counter[Any]()

    def add(self, values: Array) -> None:
        if values.dtype.kind == "O":
            self._kinds.update(values.tolist())
            if len(self._kinds) > BLOCK:
                self._kinds = Counter(dict(self._kinds.most_common(BLOCK // 2)))
            return
        self._ranks.add(values)
        if len(self._different) <= FEW:
            self._different = np.union1d(self._different, values[np.isfinite(values)])

    def bins(self, name: str) -> _Bins:
        if self._kinds:
            least = LEAST * sum(self._kinds.values())
            found = self._kinds.most_common(CATEGORIES + 1)
            kept = [each for each, n in found if n >= least and each is not None and len(str(each)) <= LONGEST]
            return _Bins({"name": name, "categories": kept[:CATEGORIES]})
        few = self._different
        if len(few) > FEW:
            few = self._ranks.at([k / LEVELS for k in range(1, LEVELS)])
        elif len(few):  # below, between and above them
            apart = np.diff(few) if len(few) > 1 else np.ones(1)
            few = np.concatenate([few[:1] - apart[0] / 2, few + np.append(apart, apart[-1])[: len(few)] / 2])
        edges = np.unique([float(f"{each:.9g}") for each in few[np.isfinite(few)].tolist()])
        return _Bins({"name": name, "edges": edges.tolist()})


class _Features:
    # The features of a model's inputs: their names, and the values of each in some rows.
    #
    # A column that the model prepares is one, but for dates, as time goes on; else each number of a row, or of large
    # rows the mean and the deviation.

    def __init__(self, built: Any) -> None:
        self._built, self._reads, front = built, built.reads(), built.front
        inputs = list(zip(self._reads.names, map(prod, self._reads.shapes), strict=True))
        self.width = sum(size for _, size in inputs)
        self._kinds = []
        if front is not None:
            for k, dtype in enumerate(front.dtypes):
                readers = {type(step.layer) for step in front.steps if k in step.reads} - {Concatenate}
                self._kinds.append("number" if dtype == "float32" or readers == {Scaler} else readers)
            named = zip(self._reads.names, self._kinds, strict=True)
            self.names = [name for name, kind in named if kind != {DateParts}]
        elif self.width > NUMBERS:
            self.names = ["mean", "deviation"]
        elif len(built.columns) == self.width:
            self.names = list(built.columns)
        else:
            self.names = [f"{name}[{k}]" if size > 1 else name for name, size in inputs for k in range(size)]

    def read(self, x: Any) -> Any:
        # (rows, features), or an array for each: of what `predict` takes, or columns by the names that it knows.
        reads, columns = self._reads, self._built.columns
        if reads.front is not None:
            return self._columns(columns_of(x, reads))
        if isinstance(x, Mapping) and len(reads.names) == 1:
            if [*x] == [*reads.names]:
                x = x[reads.names[0]]
            elif x.keys() == set(columns):
                x = np.stack([x[name] for name in columns], axis=-1).reshape(-1, len(columns))
        if not (type(x) is np.ndarray and x.dtype.kind == "f" and x.ndim > 1 and len(reads.names) == 1):
            x = np.asarray(joined(x, reads.names, reads.shapes, "x", ids=reads.ids))
        return self._numbers(x)

    def blocks(self, x: Any) -> Iterator[Array | list[Array]]:
        # The values of each feature of what `fit` takes, some rows at a time.
        reads = self._reads
        if reads.front is None:
            source = source_of(x, None, None, reads)
            self._built.check_source(source, "x")
            for page in source.pages(BLOCK):
                for start in range(0, len(page.x), BLOCK):
                    yield self._numbers(np.asarray(page.x[start : start + BLOCK])).T
        elif hasattr(x, "typed"):  # a query
            kinds = dict(zip(reads.names, reads.front.dtypes, strict=True))
            missing = dict(zip(reads.names, reads.front.missing, strict=True))
            there = {name: each for name, each in kinds.items() if name in x.columns or name not in reads.optional}
            for found in x.typed(there, missing):
                rows = len(next(iter(found.values())))
                absent = {name: np.full(rows, missing[name], object) for name in kinds.keys() - there.keys()}
                yield self._columns([{**found, **absent}[name] for name in kinds])
        else:
            columns = columns_of(x, reads)
            for start in range(0, len(columns[0]), BLOCK):
                yield self._columns([column[start : start + BLOCK] for column in columns])

    def _numbers(self, rows: Array) -> Array:
        if prod(rows.shape[1:]) != self.width:
            raise ValueError(f"x must have rows of {self.width} numbers, got the shape {rows.shape}")
        rows = rows.reshape(len(rows), self.width)
        if self.width > NUMBERS:
            return np.stack([rows.mean(axis=1, dtype=np.float64), rows.std(axis=1, dtype=np.float64)], axis=1)
        return rows.astype(np.float64)  # a copy: what is lent may change

    def _columns(self, columns: Sequence[Array]) -> list[Array]:
        reads, found = self._reads, []
        each = zip(columns, self._kinds, reads.front.dtypes, reads.names, reads.front.missing, strict=True)
        for column, kind, dtype, name, missing in each:
            array = column_of(column, dtype, f"x[{name!r}]").ravel()
            if dtype != "float32":
                values = [None if value in (missing, "") else value for value in array.tolist()]
                if kind == "number":
                    values = [math.nan if value is None else number_of(value) for value in values]
                array = as_objects(values, array.shape)
            if kind != {DateParts}:
                found.append(array.astype(np.float64) if kind == "number" else array)
        return found


def _kept(model: Any, features: _Features) -> list[_Bins]:
    """The bins that a model has noted."""
    how = "call fastnn.serve.drift.reference(model, x) with the rows that it was trained on"
    noted = model.description.notes.get(NOTE)
    if noted is None:
        raise ValueError(f"model {model.name!r} has no statistics of its inputs; {how}, and save it")
    try:
        found = [_Bins(each) for each in noted["features"]]
        if found and [each.name for each in found] == features.names and all(each.counts.any() for each in found):
            return found
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"the statistics in model {model.name!r} are not of what it reads; {how}")


def reference(model: Any, x: Any, *, add: bool = False) -> None:
    """Keep in a model what its inputs hold, some 500 bytes for each, for `Drift`; ``save`` writes it into the file.

    x: the rows that it was trained on, as `fit` takes them, read twice. add: they count beside those that are known.
    Kept are of numbers quantiles at 29 shares, or up to 20 different ones; of texts and keys frequent values; how many
    rows each bin has, and how many miss it. Of inputs of more than 256 numbers it is a row's mean and deviation.
    ``fastnn train`` does it by itself. ValueError, TypeError as `fit`.
    """
    check_model("reference", model)
    if not model.built:
        raise RuntimeError(f"reference: model {model.name!r} is not built yet; build or fit it first")
    features = _Features(model.description)
    if add and NOTE in model.description.notes:
        bins = _kept(model, features)
    else:
        seen = [_Seen() for _ in features.names]
        for block in features.blocks(x):
            for one, values in zip(seen, block, strict=True):
                one.add(values)
        bins = [one.bins(name) for one, name in zip(seen, features.names, strict=True)]
    for block in features.blocks(x):
        for each, values in zip(bins, block, strict=True):
            each.counts += each.count(values)
    if not bins or not bins[0].counts.any():
        raise ValueError("reference: x has no rows, or no columns but dates")
    model.description.notes[NOTE] = {"features": [each.config() for each in bins]}


def typical(model: Any) -> Any:
    """One row as `predict` takes it: about the medians of the numbers that a model was trained on, of others the most
    frequent value, an empty text where none is frequent.

    ValueError for a model without a `reference`, and for dates and rows of more than 256 numbers, which it has not.
    """
    check_model("typical", model)
    features = _Features(model.description)
    values = {each.name: each.middle() for each in _kept(model, features)}
    reads = model.description.reads()
    if reads.front is None:
        if features.width > NUMBERS:
            raise ValueError(f"typical: model {model.name!r} has no statistics of single numbers, of {features.width}")
        row = np.array([[0.0 if each is None else each for each in values.values()]], np.float32)
        ends = np.cumsum([prod(shape) for shape in reads.shapes])[:-1]
        parts = [part.reshape(1, *each) for part, each in zip(np.split(row, ends, axis=1), reads.shapes, strict=True)]
        return model.description.takes.pack(parts)
    found = {}
    for name, dtype in zip(reads.names, reads.front.dtypes, strict=True):
        if name not in values:
            raise ValueError(f"typical: model {model.name!r} has no statistics of {name!r}, which is a date")
        value = values[name]
        if dtype == "string":
            value = "" if value is None else f"{value:.9g}" if isinstance(value, float) else value
        found[name] = np.array([0 if value is None else value], object if dtype == "string" else dtype)
    return found


class Drift:
    """Compares the rows that come in with those that a model was trained on; for any number of threads.

    model: one with a `reference`; ValueError otherwise. window: of the last rows about so many to twice as many are
    compared. limit: of the index, from which on a feature has drifted. Memory does not grow.
    """

    def __init__(self, model: Any, window: int = 10_000, limit: float = 0.25) -> None:
        check_model("Drift", model)
        self.window, self.limit, self.rows = check_count("Drift: window", window), as_number("Drift: limit", limit), 0
        self._features = _Features(model.description)
        self._bins = _kept(model, self._features)
        self._lock, self._waiting, self._wait = Lock(), list[Any](), 0
        self._now, self._before = self._nothing(), self._nothing()

    def _nothing(self) -> list[Array]:
        return [np.zeros(bins.size, np.int64) for bins in self._bins]

    def add(self, x: Any) -> None:
        """Take rows into account, as `predict` takes them; ValueError, TypeError as there."""
        found = self._features.read(x)
        with self._lock:
            rows = len(found if isinstance(found, np.ndarray) else found[0])
            self._waiting.append(found)
            self._wait += rows
            self.rows += rows
            if self._wait >= AT_ONCE:
                self._count()

    def _count(self) -> None:
        parts, self._waiting, self._wait = self._waiting, [], 0
        if not parts:
            return
        if self._now[0].sum() >= self.window:
            self._before, self._now = self._now, self._nothing()
        if isinstance(parts[0], np.ndarray):
            values: Any = np.concatenate(parts).T
        else:
            values = map(np.concatenate, zip(*parts, strict=True))
        for bins, counts, each in zip(self._bins, self._now, values, strict=True):
            counts += bins.count(each)

    def report(self) -> dict[str, Any]:
        """What was found, as JSON has it: rows, since the beginning; compared, of them; and features.

        Each has name; psi, over tenths of the rows of training; ks, of numbers; missing, missing_before; drifted, if
        psi is above `limit`, above what 999 of 1000 windows have by chance, and there are ten rows a bin. None where
        there is nothing yet.
        """
        with self._lock:
            self._count()
            found = [now + before for now, before in zip(self._now, self._before, strict=True)]
        features = [_compared(*each, self.limit) for each in zip(self._bins, found, strict=True)]
        return {"rows": self.rows, "compared": int(found[0].sum()), "features": features}

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Names, labels and values as Prometheus has them."""
        for each in self.report()["features"]:
            for name in ("psi", "ks", "missing", "drifted"):
                if each[name] is not None:
                    yield f"fastnn_drift_{name}", {"feature": each["name"]}, float(each[name])


def _compared(bins: _Bins, observed: Any, limit: float) -> dict[str, Any]:
    expected, psi, ks, drifted = bins.counts, None, None, False
    n, m = observed.sum(), expected.sum()
    if n:
        groups = np.arange(bins.size)
        if bins.edges is not None and bins.size > FEW + 3:
            shares = np.cumsum(expected[:-1]) / max(1, expected[:-1].sum())
            groups = np.append(np.maximum(np.ceil(np.round(shares * LEVELS) / GROUP), 1), LEVELS // GROUP + 1).astype(
                int
            )
        e, o = np.bincount(groups, expected), np.bincount(groups, observed)
        psi = population_stability_index(e, o)
        free = max(1, int(np.count_nonzero(e + o)) - 1)
        spread = 2 / (9 * free)  # Wilson and Hilferty 1931: the share of 0.999 of chi2
        drifted = bool(
            n > 10 * free and psi > max(limit, (1 / n + 1 / m) * free * (1 - spread + 3.09 * spread**0.5) ** 3)
        )
        if bins.edges is not None and n > observed[-1] and m > expected[-1]:
            ks = kolmogorov_smirnov(expected[:-1], observed[:-1])
    missing = {"missing": float(observed[-1] / n) if n else None, "missing_before": float(expected[-1] / m)}
    return {"name": bins.name, "psi": psi, "ks": ks, **missing, "drifted": drifted}


_names.offer(globals())
