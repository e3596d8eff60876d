"""Samples in batches, iterable as people loop over them: what Keras's helpers give as a ``tf.data.Dataset``."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastnn._checks import SEEDS, as_flag, check_batch_size, check_count, shown

from .arrays import ArraySource
from .batches import batch_of
from .convert import keeps
from .source import Page, Source, row_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .several import Several

__all__ = ["Dataset"]

# Bytes of rows that are kept from one pass to the next: as SQLDataset.
MEMORY_LIMIT = 256 * 2**20


class Samples(Protocol):
    """What a dataset draws from: samples by number."""

    def __len__(self) -> int: ...

    def take(self, numbers: Any) -> Any:
        """The samples of these numbers (an array of them, or a slice) side by side: one array, or a tuple or dict."""


class Stored:
    """Samples of arrays in memory, in a tuple or dict of any depth; each has one entry for each sample."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays
        self.count = len(leaves(arrays)[0])

    def __len__(self) -> int:
        return self.count

    def take(self, numbers: Any) -> Any:
        return mapped(lambda array: array[numbers], self.arrays)


def _count(samples: Any) -> int:
    """How many there are. TypeError for what has no samples by number."""
    if hasattr(samples, "take"):
        with contextlib.suppress(TypeError):  # such as an array of no axes
            return len(samples)
    raise TypeError(f"samples must have __len__ and take(numbers), got {shown(samples)}")


def _generator(seed: Any) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else check_count("seed", seed, 0, SEEDS))


class Dataset:
    """Samples x, (x, y) or (x, y, sample_weight), one by one or in batches, as NumPy arrays of the type they have.

    ``fit``, ``evaluate`` and ``predict`` take it. Its batch size is the rows of a step; 32 where it has none. ``fit``
    takes the samples in their order, or drawn anew for each epoch where they are shuffled, whatever its own argument
    ``shuffle`` is. Up to 256 MiB of rows are kept between passes, more is drawn again in each.

    Iterating gives samples or batches; ``len`` and ``cardinality`` say how many. What is shuffled comes in another
    order each time, which hangs on the seed alone where there is one. A method such as ``batch`` gives another Dataset
    of the same arrays.
    """

    def __init__(
        self, samples: Samples, batch_size: int | None = None, shuffle: bool = False, seed: int | None = None
    ) -> None:
        count = _count(samples)
        self.samples = samples
        self.batch_size = None if batch_size is None else check_batch_size(batch_size)
        self.shuffled = as_flag("shuffle", shuffle)
        self._rng = _generator(seed)  # of what is iterated; fit has its own
        self._numbers: NDArray[Any] | None = None  # of the samples that are in it; None for all
        self._begin, self._end = 0, count  # of the order in which they come
        self._steps: tuple[
            tuple[Callable[..., Any], int | None], ...
        ] = ()  # of `map`, and of how many samples at a time

    @property
    def rows(self) -> int:
        """The number of samples."""
        return self._end - self._begin

    @property
    def count(self) -> int:
        """The number of samples that a pass is drawn from, of which ``take`` and ``skip`` leave some out."""
        return len(self.samples) if self._numbers is None else len(self._numbers)

    def __len__(self) -> int:
        return -(-self.rows // (self.batch_size or 1))

    def cardinality(self) -> int:
        """How many batches there are, or samples where it has no batches."""
        return len(self)

    def __iter__(self) -> Iterator[Any]:
        places = self.order(self._rng)
        for start in range(0, self.rows, self.batch_size or 1):
            part = self.at(places[start : start + (self.batch_size or 1)])
            yield part if self.batch_size else mapped(lambda array: array[0], part)

    def order(self, rng: np.random.Generator | None) -> Any:
        """The places of the samples in the order of one pass; `rng` draws it where they are shuffled."""
        if not self.shuffled or rng is None:
            return range(self._begin, self._end)
        drawn = row_order(self.count, rng)
        assert drawn is not None
        return drawn[self._begin : self._end]

    def at(self, places: Any) -> Any:
        """The samples at these places, a range or an array of them."""
        chosen = slice(places.start, places.stop) if isinstance(places, range) else places
        found = self.samples.take(chosen if self._numbers is None else self._numbers[chosen])
        for function, size in self._steps:
            found = _stepped(function, found, size)
        return found

    # Other datasets of the same samples.

    def _with(self, **changes: Any) -> Dataset:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def batch(self, batch_size: int, drop_remainder: bool = False, **_: Any) -> Dataset:
        """Batches of so many samples, the last one smaller, or left out with drop_remainder."""
        if self.batch_size is not None:
            raise ValueError(f"these are batches of {self.batch_size} already; call unbatch() before batch()")
        size = check_batch_size(batch_size)
        end = self._begin + self.rows // size * size if drop_remainder else self._end
        return self._with(batch_size=size, _end=end)

    def unbatch(self) -> Dataset:
        """The samples, one by one."""
        return self._with(batch_size=None)

    def shuffle(self, buffer_size: int | None = None, seed: int | None = None, **_: Any) -> Dataset:
        """Samples in a full permutation, drawn anew in each pass; buffer_size is not needed for it."""
        return self._with(**self._chosen(np.arange(self.rows)), shuffled=True, _rng=_generator(seed))

    def take(self, count: int) -> Dataset:
        """The first so many batches, or samples; all where there are no more, and for -1."""
        most = self.rows if count == -1 else check_count("count", count, 0) * (self.batch_size or 1)
        return self._with(_end=min(self._begin + most, self._end))

    def skip(self, count: int) -> Dataset:
        """All but the first so many batches, or samples."""
        return self._with(_begin=min(self._begin + check_count("count", count, 0) * (self.batch_size or 1), self._end))

    def select(self, places: NDArray[Any]) -> Dataset:
        """The samples at these places, in that order; places count in the order before any shuffling."""
        return self._with(**self._chosen(places))

    def _chosen(self, places: NDArray[Any]) -> dict[str, Any]:
        """What a dataset of the samples at these places has otherwise than this one."""
        kept = places + self._begin
        numbers = kept if self._numbers is None else self._numbers[kept]
        return {"_numbers": numbers, "_begin": 0, "_end": len(numbers)}

    def map(self, function: Callable[..., Any], *_: Any, **__: Any) -> Dataset:
        """What the function makes of each batch, or of each sample where there are no batches.

        It is given x, or x and y, as a loop over the dataset is, and gives arrays with an entry for each sample:
        ``dataset.map(lambda x, y: (vectorize(x), y))``.
        """
        if not callable(function):
            raise TypeError(f"map takes a function of a batch, got {shown(function)}")
        return self._with(_steps=(*self._steps, (function, self.batch_size)))

    def cache(self, *_: Any) -> Dataset:
        """This dataset: its arrays are in memory."""
        return self

    def prefetch(self, *_: Any, **__: Any) -> Dataset:
        """This dataset: its arrays are in memory."""
        return self

    def source(self, inputs: Several | None = None, outputs: Several | None = None) -> Source:
        """The dataset as what a network reads; arguments as ``source_of``. ValueError where it is empty."""
        if not self.rows:
            raise ValueError("the dataset gives no rows; at least one is needed")
        return _Drawn(self, inputs, outputs)


class _Drawn(Source):
    """A dataset as pages: all rows as one that is kept, or where they are too many some batches at a time."""

    def __init__(self, dataset: Dataset, inputs: Several | None, outputs: Several | None) -> None:
        self._dataset = dataset
        self._model = inputs, outputs
        self._whole = dataset.order(None)
        taken = self._dataset.at(self._whole[:1])
        first = self._read(taken)
        self.input_shape, self.targets, self.columns = first.input_shape, first.targets, first.columns
        self.target_shape, self.weight_shape = first.target_shape, first.weight_shape
        self.batch_size = dataset.batch_size
        leaf = leaves(taken)[0]
        size = leaf.dtype.itemsize if keeps(np.asarray(leaf).dtype, False) else 4  # as many rows stay or become
        self._row_bytes = size * first.x.shape[1] + 4 * first.targets
        self._kept: ArraySource | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._dataset.rows

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give the rows in their order, or in one that `rng` draws where the dataset is shuffled."""
        return self._pages(check_batch_size(batch_size), self._dataset.order(rng))

    def _pages(self, batch_size: int, places: Any) -> Iterator[Page]:
        plain = isinstance(places, range)
        # One page, whose order is the draw: where a draw has all rows of the page, each time.
        if self.rows * self._row_bytes <= MEMORY_LIMIT and (plain or self.rows == self._dataset.count):
            if self._kept is None:
                self._kept = self._read(self._dataset.at(self._whole))
            yield Page(self._kept.x, self._kept.y, self._kept.weight, None if plain else places)
            return
        size = max(1, MEMORY_LIMIT // 4 // self._row_bytes // batch_size) * batch_size
        for start in range(0, self.rows, size):
            part = self._read(self._dataset.at(places[start : start + size]))
            yield Page(part.x, part.y, part.weight, None, None if plain else places[start : start + size])

    def _read(self, taken: Any) -> ArraySource:
        x, y, weight = (*(taken if isinstance(taken, tuple) else (taken,)), None, None)[:3]
        return batch_of(x, y, weight, *self._model)


def _stepped(function: Callable[..., Any], arrays: Any, size: int | None) -> Any:
    """What a function makes of samples, `size` of them at a time, or one by one."""
    count = len(leaves(arrays)[0])
    made = []
    for start in range(0, count, size or 1):
        stop = min(count, start + (size or 1))
        part = mapped(lambda array: array[start:stop] if size else array[start], arrays)  # noqa: B023 - called at once
        found = mapped(np.asarray, function(*part) if isinstance(part, tuple) else function(part))
        for leaf in leaves(found) if size else ():
            if leaf.shape[:1] != (stop - start,):
                raise ValueError(
                    f"the function given to map must give an entry for each of {stop - start} samples, got an array of "
                    f"shape {leaf.shape}"
                )
        made.append(found)
    return _put_together(made, np.concatenate if size else np.stack)


def _put_together(parts: list[Any], join: Callable[..., Any]) -> Any:
    """Structures of arrays as one structure."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _put_together([part[key] for part in parts], join) for key in first}
    if isinstance(first, tuple):
        return tuple(_put_together(list(each), join) for each in zip(*parts, strict=True))
    return parts[0][None] if join is np.stack and len(parts) == 1 else join(parts)


def mapped(function: Callable[[Any], Any], arrays: Any) -> Any:
    """The same structure of tuples and dicts, with what the function gives for each array in it."""
    if isinstance(arrays, Mapping):
        return {key: mapped(function, value) for key, value in arrays.items()}
    if isinstance(arrays, (tuple, list)):
        return tuple(mapped(function, value) for value in arrays)
    return function(arrays)


def leaves(arrays: Any) -> list[Any]:
    """The arrays in a structure of tuples and dicts, in their order."""
    if isinstance(arrays, (tuple, list, Mapping)):
        values = arrays.values() if isinstance(arrays, Mapping) else arrays
        return [leaf for value in values for leaf in leaves(value)]
    return [arrays]
