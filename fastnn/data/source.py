"""What a source of rows is: a shape, a length, and pages of float32 rows."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn.kernels.bindings import permutation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastnn.typing import Array

__all__ = ["ClassWeighted", "Page", "RowSource", "Source"]

FLOAT32_MAX = float(np.finfo(np.float32).max)


class Page(NamedTuple):
    """Rows that lie in memory together; one epoch runs over one page after the other.

    Shapes: `x` (rows, features), float32 or whole numbers (``convert.to_rows``), C-contiguous, or ``SparseRows``;
    `y` (rows, targets), float32, or None; `weight` (rows,) or (rows, lines), float32, or None for a weight of 1
    each; `order`, the numbers of those rows that are drawn, in their order, as np.uint32: a permutation of 0 ..
    rows - 1 or, where the rows lie in a file, of some of them; None for the rows as they lie; `numbers` (rows,),
    the rows' numbers in the source, or None where they follow those of the page before; `batch`, the number of the
    batch that the page is, where the source has batches.
    """

    x: Any
    y: NDArray[np.float32] | None
    weight: NDArray[np.float32] | None
    order: NDArray[np.uint32] | None
    numbers: NDArray[np.integer[Any]] | None = None
    batch: int | None = None

    @property
    def rows(self) -> int:
        """The number of rows that are drawn."""
        return len(self.x) if self.order is None else len(self.order)


class Source(ABC):
    """Rows for `fit`, `evaluate` and `predict`, one page at a time.

    `input_shape` is the shape of one row, such as (64,) or (28, 28); a page holds it flattened.
    `targets` is the number of target columns, 0 where there are none; `target_shape` the shape that
    a row of y had before it was made flat, None where it is known by its columns alone, and
    `weight_shape` that of a row of sample_weight. `columns` are the names of the features where they
    have names, for messages; `names` are the same where somebody gave them (the columns of a frame, a
    record array or a query), so that a model may know them again. `batches` says that each page is one
    step, whatever its size; `by_epoch` that ``pages`` takes the number of the epoch too, from 0, on which
    its order hangs as on the generator; `batch_size` is the rows of a step, where the source says it.
    `first` is the number of the first row in what the user gave; `rules`, what columns of a query hold that are
    more than a number, and `sequence`, how its rows become windows: predictions for the rows of another one need them.
    """

    input_shape: tuple[int, ...]
    targets: int
    target_shape: tuple[int, ...] | None = None
    weight_shape: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    batches: bool = False
    by_epoch: bool = False
    first: int = 0
    batch_size: int | None = None
    rules: Mapping[str, str] = MappingProxyType({})
    sequence: Any = None

    @property
    @abstractmethod
    def rows(self) -> int | None:
        """The number of rows; None while it is not yet known."""

    @abstractmethod
    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Every row once. All pages but the last hold a multiple of `batch_size` rows.

        batch_size: a whole number, at least 1. rng: what shuffles; None keeps the rows in order.
        The same generator state gives the same order.
        """

    def row_names(self, page: Page, rows: Array, before: int) -> Array:
        """By what an error calls some rows of a page: their numbers in what the user gave.

        rows: their places in the page. before: the rows of the pages before it.
        """
        return self.first + (rows + before if page.numbers is None else page.numbers[rows])

    def split(self, fraction: float) -> tuple[Source, Source]:
        """Split into (train, validation). ValueError, unless the source knows its rows by number."""
        raise ValueError(
            f"a {type(self).__name__} gives no row by its number, so it cannot be split; pass validation_data"
        )


class RowSource(Source):
    """A source that knows its rows by number, and so can be split."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """The number of rows."""

    @abstractmethod
    def part(self, start: int, stop: int) -> RowSource:
        """Return rows start .. stop - 1 as a source of their own, which shares this one's memory."""

    def split(self, fraction: float) -> tuple[RowSource, RowSource]:
        """Split into (train, validation): the LAST `fraction` of the rows is for validation.

        fraction: above 0 and below 1; validation starts at row floor(rows · (1 - fraction)), as
        Keras's `validation_split` does, whatever order the rows are later drawn in. The two share
        this source's memory. Raises ValueError where either would be empty.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, numbers.Real):
            raise TypeError(f"the fraction to split off must be a number, got {shown(fraction)}")
        if not 0 < fraction < 1:
            raise ValueError(f"the fraction to split off must lie between 0 and 1, got {shown(fraction)}")
        at = math.floor(self.rows * (1 - float(fraction)))
        if not 0 < at < self.rows:
            raise ValueError(
                f"splitting {self.rows} rows by {fraction} leaves {at} for training and "
                f"{self.rows - at} for validation; give more rows or another fraction"
            )
        return self.part(0, at), self.part(at, self.rows)


class ClassWeighted(Source):
    """The rows of another source, each weighted by its class: weight · class_weight[label].

    The label is the whole number in a single target column, or the place of the largest of
    several (one-hot) columns. class_weight: a dict of label -> weight; a weight is finite and not
    negative; a class that is absent weighs 1. Or "balanced": rows / (classes · rows of the class),
    as scikit-learn has it, for which the source is read once; classes are those that have rows.

    Raises ValueError for a `class_weight` that is not such a dict, for a source without targets,
    and while the pages are read for a label that is not a whole number.
    """

    def __init__(self, source: Source, class_weight: Mapping[int, float] | str) -> None:
        if not isinstance(source, Source):
            raise TypeError(f"source must be a fastnn.data.Source, got {shown(source)}")
        if source.targets == 0:
            raise ValueError("class_weight needs a label for each row, but the data has no targets")
        self.targets = source.targets
        if isinstance(class_weight, str) and class_weight == "balanced":
            weights = self._balanced(source)
        else:
            weights = _checked_class_weight(class_weight)
        if source.targets > 1:
            for label in weights:
                if not 0 <= label < source.targets:
                    raise ValueError(
                        f"class_weight names class {label}, but one-hot targets with "
                        f"{source.targets} columns have classes 0 to {source.targets - 1}"
                    )
        self.source = source
        self.batches, self.by_epoch = getattr(source, "batches", False), getattr(source, "by_epoch", False)
        self.input_shape = source.input_shape
        self.target_shape, self.weight_shape = source.target_shape, source.weight_shape
        self.columns, self.names, self.first = source.columns, source.names, source.first
        self._labels = np.array(sorted(weights), dtype=np.float64)
        self._weights = np.array([weights[label] for label in sorted(weights)], dtype=np.float32)

    @property
    def rows(self) -> int | None:
        """The number of rows of the source inside."""
        return self.source.rows

    def pages(self, batch_size: int, rng: np.random.Generator | None = None, epoch: int = 0) -> Iterator[Page]:
        """Give the pages of the source inside, with their weights multiplied."""
        first = 0
        for page in self.source.pages(batch_size, rng, *([epoch] * self.by_epoch)):
            weight = self._weigh(page, first)
            if page.weight is not None:
                weight *= page.weight
            first += len(page.x)
            yield page._replace(weight=weight)

    def _balanced(self, source: Source) -> dict[int, float]:
        if source.rows is None and getattr(source, "batches", False):
            raise ValueError(
                "class_weight='balanced' reads all rows once before training, and these batches may have no end; "
                "pass a dict of label -> weight"
            )
        counts: dict[float, int] = {}
        rows = 0
        for page in source.pages(1024):
            labels = self._labels_of(source, page, rows)
            for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
                counts[float(label)] = counts.get(float(label), 0) + int(count)
            rows += len(page.x)
        return {int(label): rows / (len(counts) * count) for label, count in counts.items()}

    def row_names(self, page: Page, rows: Array, before: int) -> Array:
        """As the source inside calls them."""
        return self.source.row_names(page, rows, before)

    def _labels_of(self, source: Source, page: Page, before: int) -> NDArray[np.float64]:
        """The rows' labels; `before` is the number of rows in the pages before, for an error."""
        y = page.y
        assert y is not None
        if self.targets > 1:
            return np.asarray(y.argmax(axis=1), np.float64)
        labels = y[:, 0].astype(np.float64)
        # Infinity equals its own floor, and NaN equals nothing.
        whole = np.isfinite(labels) & (np.floor(labels) == labels)
        if not whole.all():
            bad = np.flatnonzero(~whole)[:1]
            name = source.row_names(page, bad, before)[0]
            counted = "" if isinstance(name, str) else " (the first row is 0)"
            raise ValueError(
                f"class_weight expects whole numbers as labels, got {labels[bad[0]]:g} in row {name}{counted}; for a "
                "regression use sample_weight"
            )
        return labels

    def _weigh(self, page: Page, before: int) -> NDArray[np.float32]:
        labels = self._labels_of(self.source, page, before)
        weight = np.ones(len(labels), dtype=np.float32)
        if len(self._labels):
            place = np.searchsorted(self._labels, labels).clip(max=len(self._labels) - 1)
            known = self._labels[place] == labels
            weight[known] = self._weights[place[known]]
        return weight


def check_names(
    expected: Sequence[str], came: Sequence[str], what: str, other: str = "the model was fitted on"
) -> None:
    """ValueError where both are known and differ, be it by their order alone.

    `what` has the columns that came; `other` says whose the expected ones are, for the message.
    """
    if not expected or not came or tuple(expected) == tuple(came):
        return
    missing = [name for name in expected if name not in came]
    unknown = [name for name in came if name not in expected]
    if missing or unknown:
        said = [f"without {_listed(missing)}"] * bool(missing) + [f"with {_listed(unknown)}"] * bool(unknown)
    else:
        said = ["in another order"]
    raise ValueError(
        f"{what} has the columns {_listed(came)}, but {other} {_listed(expected)}: "
        f"{' and '.join(said)}; give the columns that it knows, in that order, or an array, which has no names"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:30]))
    return shown if len(names) <= 30 else f"{shown} and {len(names) - 30} more"


def row_order(rows: int, rng: np.random.Generator | None) -> NDArray[np.uint32] | None:
    """Draw the order of a page's rows: a permutation, or None without a generator."""
    # One raw draw and the engine's shuffle: Generator.permutation takes ten times as long.
    return None if rng is None else permutation(rows, rng.bit_generator.random_raw())


def drawn(
    rows: int, window: int, block: int, rng: np.random.Generator
) -> Iterator[tuple[list[tuple[int, int]], NDArray[np.uint32]]]:
    """Windows of rows, each of the next blocks in a random order of all blocks: (its runs of rows, their order).

    window, block: rows of one. Source: CorgiPile (Xu et al., SIGMOD 2022), with every window of the same size.
    """
    starts = np.arange(0, rows, block)
    runs: list[tuple[int, int]] = []
    room = window
    for start in starts[permutation(len(starts), rng.bit_generator.random_raw())].tolist():
        stop = min(start + block, rows)
        while start < stop:
            end = min(stop, start + room)
            runs.append((start, end))
            room, start = room - (end - start), end
            if not room:
                yield runs, _shuffled(runs, rng)
                runs, room = [], window
    if runs:
        yield runs, _shuffled(runs, rng)


def _shuffled(runs: list[tuple[int, int]], rng: np.random.Generator) -> NDArray[np.uint32]:
    numbers = np.concatenate([np.arange(start, stop, dtype=np.uint32) for start, stop in runs])
    return numbers[permutation(len(numbers), rng.bit_generator.random_raw())]


def _checked_class_weight(class_weight: object) -> dict[int, float]:
    if not isinstance(class_weight, Mapping) and hasattr(class_weight, "to_dict"):
        class_weight = class_weight.to_dict()  # a Series, such as value_counts gives
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "class_weight must be a dict of label -> weight such as {0: 1.0, 1: 5.0}, or 'balanced', "
            f"got {shown(class_weight)}"
        )
    checked: dict[int, float] = {}
    for given, weight in class_weight.items():
        number = _number(given)
        if not number.is_integer():
            raise ValueError(
                f"class_weight expects whole numbers as labels, got {shown(given)}; use the numbers that the "
                "targets hold"
            )
        label = int(number)
        if label in checked:
            raise ValueError(f"class_weight has two weights for class {label}; leave one out")
        value = _number(weight)
        if not 0 <= value <= FLOAT32_MAX:
            raise ValueError(f"class_weight of class {label} must be a finite number, 0 or more, got {shown(weight)}")
        checked[label] = value
    return checked


def _number(value: Any) -> float:
    """Return `value` as a float, NaN for what is no number (float() alone would take "2")."""
    if isinstance(value, (tuple, list)) and len(value) == 1:
        (value,) = value  # the key of value_counts of a frame with one column
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        value = value.item()  # NumPy's numbers and booleans, and those of other arrays
    real = isinstance(value, numbers.Number) and (
        isinstance(value, numbers.Real) or not isinstance(value, numbers.Complex)
    )
    try:
        return float(value) if real else float("nan")  # Decimal is a Number, and not Complex
    except OverflowError:
        return float("inf")
    except ValueError:  # a signalling NaN
        return float("nan")
