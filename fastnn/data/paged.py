"""Rows of arrays that stay in a file: memory maps, and the arrays of h5py and zarr."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_batch_size, check_count, shown

from .arrays import check_targets_shape, row_shape, targets_of, weights_of
from .convert import keeps, to_float32
from .source import Page, RowSource, row_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["PagedSource"]

# Bytes of float32 that may be held at a time: as SQLDataset.
MEMORY_LIMIT = 256 * 2**20
# Bytes of float32 of one chunk: long enough for a disk to read at its full speed.
_CHUNK = 2**20


class PagedSource(RowSource):
    """Rows of arrays that are too large to hold: read in pages, converted as they are read.

    x: (rows, ...), whatever has a `shape` and gives rows by x[start:stop]: a memory map of any numeric type, an array
    of h5py or zarr. y: the same, or any y of ``ArraySource``. sample_weight, exact, ids: as there. memory_limit: the
    bytes of float32 rows that may be held, by default 256 MiB; a page has half of it, or one batch.

    Shuffling: a pass draws an order of chunks (runs of rows with about 1 MiB, and of whole chunks of the file where
    x says how it is chunked); a page is filled with the next chunks of that order, and its rows are drawn in a full
    permutation. So each page is a sample of the whole file, and the file is read in long runs.

    Raises as ``ArraySource``; what is wrong with a value, while the page with it is read.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        outputs: int = 1,
        exact: bool = False,
        ids: bool = False,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        if not isinstance(getattr(x, "shape", None), tuple) or not hasattr(x, "__getitem__"):
            raise TypeError(f"x must be an array that lies in a file, got {shown(x)}")
        if not x.shape:
            raise TypeError(f"x must be an array with one entry for each row, got the shape {x.shape}")
        self.input_shape = row_shape(tuple(x.shape))
        self.start, self.stop = 0, int(x.shape[0])
        self._exact = exact or ids
        # The type of a page's numbers, where they stay what they are.
        self._kept = x.dtype.newbyteorder("=") if keeps(x.dtype, ids) else None
        self._memory_limit = check_count("memory_limit", memory_limit, 0)
        self.x, self.y = x, y
        self.targets, self.weight = 0, None
        if y is not None and is_stored(y):
            check_targets_shape(tuple(y.shape), self.stop)
            self.target_shape = tuple(y.shape[1:])
        elif y is not None:
            self.y, self.target_shape = targets_of(y, self.stop)
        if y is not None:
            self.targets = int(np.prod(self.y.shape[1:]))
        if sample_weight is not None:
            self.weight, self.weight_shape = weights_of(sample_weight, self.stop, self.target_shape, outputs)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    def part(self, start: int, stop: int) -> PagedSource:
        part = copy.copy(self)
        part.first = self.first + start
        part.start, part.stop = self.start + start, self.start + stop
        return part

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give the pages of one pass, each read when it is asked for."""
        return self._pages(check_batch_size(batch_size), rng)

    def _pages(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Page]:
        row_bytes = 4 * (int(np.prod(self.input_shape)) + self.targets)
        size = max(1, self._memory_limit // 2 // row_bytes // batch_size) * batch_size
        runs: list[tuple[int, int]] = []  # of the page that is being filled
        room = size
        for start, stop in self._chunks(row_bytes, rng):
            while start < stop:
                end = min(stop, start + room)
                runs.append((start, end))
                room -= end - start
                start = end
                if not room:
                    yield self._read(runs, rng)
                    runs, room = [], size
        if runs:
            yield self._read(runs, rng)

    def _chunks(self, row_bytes: int, rng: np.random.Generator | None) -> list[tuple[int, int]]:
        """The runs of rows in which a pass reads the file, in its order."""
        stored = _rows_a_chunk(self.x)
        length = -(-max(1, _CHUNK // row_bytes) // stored) * stored
        edges = [*range(self.start - self.start % stored, self.stop, length), self.stop]
        edges[0] = self.start
        chunks = list(pairwise(edges))
        order = row_order(len(chunks), rng)
        return chunks if order is None else [chunks[i] for i in order]

    def _read(self, runs: list[tuple[int, int]], rng: np.random.Generator | None) -> Page:
        runs.sort()  # as they lie in the file; the rows are drawn anyway
        y = None if self.y is None else _gathered(self.y, runs, "y", True).reshape(-1, self.targets)
        x = _gathered(self.x, runs, "x", self._exact, self._kept)
        weight = None if self.weight is None else _gathered(self.weight, runs, "sample_weight", False)
        page = Page(x.reshape(len(x), -1), y, weight, row_order(len(x), rng))
        if rng is None:
            return page
        return page._replace(numbers=np.concatenate([np.arange(start, stop) for start, stop in runs]) - self.start)


def is_stored(value: Any) -> bool:
    """Whether `value` is a memory map, or an array that says how its file is chunked (h5py, zarr)."""
    return isinstance(value, np.memmap) or (hasattr(value, "chunks") and hasattr(value, "shape"))


def _rows_a_chunk(value: Any) -> int:
    chunks = getattr(value, "chunks", None)
    return chunks[0] if chunks and isinstance(chunks[0], int) else 1


def _gathered(array: Any, runs: Sequence[tuple[int, int]], name: str, exact: bool, kept: Any = None) -> NDArray[Any]:
    out = np.empty((sum(stop - start for start, stop in runs), *array.shape[1:]), kept or np.float32)
    at = 0
    for start, stop in runs:
        part = array[start:stop]
        out[at : at + stop - start] = part if kept else to_float32(part, name, exact, start)
        at += stop - start
    return out
