"""Rows of SciPy's sparse matrices, made dense page by page."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_batch_size, shown
from fastnn._numbers import check_exact, converted, numeric

from .arrays import row_shape, targets_of, weights_of
from .convert import to_float32
from .source import Page, RowSource, row_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

__all__ = ["SparseSource"]

# Bytes of one dense page: it stays in cache from here to the engine, and hides what a page costs.
_PAGE = 2**22


class SparseSource(RowSource):
    """Rows of a sparse matrix; only the rows of one page are dense at any time.

    x: (rows, features), any of SciPy's formats; it becomes CSR of float32, without a copy where it is that already.
    y, sample_weight, exact: as ``ArraySource``; ids: as exact. A pass draws one permutation of all rows. A page has
    4 MiB, or one batch where that is more.

    Raises as ``ArraySource``.
    """

    def __init__(
        self,
        x: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        outputs: int = 1,
        exact: bool = False,
        ids: bool = False,
    ) -> None:
        if not hasattr(x, "tocsr"):
            raise TypeError(f"x must be one of SciPy's sparse matrices, got {shown(x)}")
        if x.ndim != 2:
            raise ValueError(f"a sparse x must have the shape (rows, features), got {x.shape}")
        self.input_shape = row_shape(x.shape)
        rows = x.shape[0]
        matrix = x.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        values = numeric(matrix.data, "x")
        try:
            if exact or ids:
                check_exact(values, "x")
            data = converted(values, "x")
        except ValueError:  # knows the place among the stored values alone
            for start, stop in self._spans(rows, 1):
                to_float32(matrix[start:stop].toarray(), "x", exact or ids, start)
            raise
        self.x = type(matrix)((data, matrix.indices, matrix.indptr), shape=matrix.shape)
        self.y = self.weight = None
        if y is not None:
            self.y, self.target_shape = targets_of(y, rows)
        if sample_weight is not None:
            self.weight, self.weight_shape = weights_of(sample_weight, rows, self.target_shape, outputs)
        self.targets = 0 if self.y is None else self.y.shape[1]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.x.shape[0])

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give the rows in an order drawn from `rng`, already in that order."""
        return self._pages(check_batch_size(batch_size), row_order(self.rows, rng))

    def _pages(self, batch_size: int, order: Any) -> Iterator[Page]:
        for start, stop in self._spans(self.rows, batch_size):
            rows: Any = slice(start, stop) if order is None else order[start:stop]
            yield Page(
                self.x[rows].toarray(),
                None if self.y is None else self.y[rows],
                None if self.weight is None else self.weight[rows],
                None,
                None if order is None else rows,
            )

    def _spans(self, rows: int, batch_size: int) -> list[tuple[int, int]]:
        """The first row of each page, and the one after its last."""
        size = max(1, _PAGE // (4 * self.input_shape[0]) // batch_size) * batch_size
        return [(start, min(start + size, rows)) for start in range(0, rows, size)]

    def part(self, start: int, stop: int) -> SparseSource:
        part = copy.copy(self)
        part.first = self.first + start
        part.x = self.x[start:stop]
        part.y = None if self.y is None else self.y[start:stop]
        part.weight = None if self.weight is None else self.weight[start:stop]
        return part
