"""Rows of SciPy's sparse matrices, which the engine reads as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_flag, check_count, shown
from fastnn._numbers import check_exact, converted, numeric

from .arrays import ArraySource, row_shape, targets_of, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fastnn.typing import FloatArray

__all__ = ["SparseRows", "SparseSource"]

FEW, WIDE = 8, 128  # where rows that are made here are sparse: numbers of which one is not 0, and how many at least
_PART = 2**22  # bytes of sparse rows that are made dense together


class SparseRows:
    """Rows of which only some numbers are there; the others are 0.

    Row i has the numbers data[indptr[i]:indptr[i + 1]] in the columns `indices` of the same places, in their order,
    none twice. data: float32; indices: int32; indptr: int64, (rows + 1,). shape: (rows, columns). A slice of rows, or
    rows by their numbers, are SparseRows again; np.asarray makes the dense array.

    Raises TypeError for arrays of another type or shape, ValueError where their lengths do not fit. What the numbers
    of `indices` and `indptr` are is looked at when rows are used.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, data: FloatArray, indices: NDArray[np.int32], indptr: NDArray[np.int64], columns: int) -> None:
        for name, array, dtype in (
            ("data", data, np.float32),
            ("indices", indices, np.int32),
            ("indptr", indptr, np.int64),
        ):
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                raise TypeError(f"{name} must be {dtype.__name__} numbers in an array of one axis, got {shown(array)}")
        if len(data) != len(indices) or not len(indptr):
            raise ValueError(
                f"there must be an index for each number and an end for each row, got {len(data)} numbers, "
                f"{len(indices)} indices and indptr of {len(indptr)}"
            )
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = (len(indptr) - 1, check_count("columns", columns, 0))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> SparseRows:
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            return SparseRows(self.data, self.indices, self.indptr[start : max(start, stop) + 1], self.shape[1])
        numbers = np.arange(len(self))[rows]
        starts, counts = self.indptr[numbers], self.indptr[numbers + 1] - self.indptr[numbers]
        ends = np.concatenate([[0], counts.cumsum()])
        at = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts)
        return SparseRows(self.data[at], self.indices[at], ends, self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = np.zeros(self.shape, np.float32)
        at = slice(self.indptr[0], self.indptr[-1])
        found[self.row_numbers(), self.indices[at]] = self.data[at]
        return found if dtype is None else found.astype(dtype, copy=False)

    def toarray(self) -> FloatArray:
        """The dense array."""
        return np.asarray(self)

    def astype(self, dtype: Any) -> NDArray[Any]:
        """The dense array, of another type."""
        return np.asarray(self, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of what is there."""
        return int(self.data.nbytes + self.indices.nbytes + self.indptr.nbytes)

    def row_numbers(self) -> NDArray[np.intp]:
        """The row of each number that is there."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def not_finite(self) -> tuple[int, int, float] | None:
        """Row, column and value of the first number that is not finite, or None."""
        first = int(self.indptr[0])
        bad = np.flatnonzero(~np.isfinite(self.data[first : self.indptr[-1]]))
        if not len(bad):
            return None
        at = first + int(bad[0])
        row = int(np.searchsorted(self.indptr, at, "right")) - 1
        return row, int(self.indices[at]), float(self.data[at])


def dense_parts(x: Any) -> Iterator[Any]:
    """Rows as arrays: those that are one as a whole, sparse ones in parts of some MiB."""
    if not isinstance(x, SparseRows):
        yield x
        return
    size = max(1, _PART // (4 * x.shape[1]))
    for start in range(0, len(x), size):
        yield x[start : start + size].toarray()


class SparseSource(ArraySource):
    """Rows of a sparse matrix. All of them are one page, and no dense one is made.

    x: (rows, features), any of SciPy's formats; it becomes CSR of float32 with int32 indices, in order and each once,
    without a copy of what is that already. A first Dense layer multiplies what is there, and learns by it, with the
    bits that dense rows would give; for a layer that needs dense rows they are made, a batch at a time. y,
    sample_weight, outputs, exact, ids: as ``ArraySource``.

    Raises as ``ArraySource``, and ValueError for a matrix whose indices are beyond its shape.
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
        if not is_sparse(x):
            raise TypeError(f"x must be one of SciPy's sparse matrices, got {shown(x)}")
        exact, ids = as_flag("exact", exact), as_flag("ids", ids)
        if x.ndim != 2:
            raise ValueError(f"a sparse x must have the shape (rows, features), got {x.shape}")
        self.input_shape = row_shape(x.shape)
        self.x: Any = sparse_rows(x, "x", exact or ids)
        rows = len(self.x)
        self.y = self.weight = None
        if y is not None:
            self.y, self.target_shape = targets_of(y, rows)
        if sample_weight is not None:
            self.weight, self.weight_shape = weights_of(sample_weight, rows, self.target_shape, outputs)
        self.targets = 0 if self.y is None else self.y.shape[1]


def is_sparse(x: Any) -> bool:
    """Whether `x` is a sparse matrix, or sparse rows already."""
    return hasattr(x, "tocsr") or isinstance(x, SparseRows)


def sparse_rows(x: Any, name: str, exact: bool = False) -> SparseRows:
    """A sparse matrix of two axes as float32 rows, of the same memory where it can be. Its own numbers stay.

    exact: refuse whole numbers that float32 would round. Raises as ``to_float32``, with row and column, and ValueError
    for a matrix that is none.
    """
    if isinstance(x, SparseRows):
        return x
    if x.shape[1] >= 2**31:
        raise ValueError(f"{name} has {x.shape[1]} columns; sparse rows have at most {2**31 - 1}")
    if getattr(x, "format", None) == "csc":
        _check(x.T, name, "row")
    matrix = x.tocsr()
    _check(matrix, name)
    size = int(matrix.indptr[-1])
    falls = np.diff(matrix.indices[:size]) <= 0
    starts = matrix.indptr[1:-1]
    falls[starts[(starts > 0) & (starts < size)] - 1] = False  # from one row to the next
    if falls.any():
        matrix = matrix.copy()
        matrix.has_sorted_indices = matrix.has_canonical_format = False  # which nobody may have looked at
        matrix.sum_duplicates()
        size = int(matrix.indptr[-1])
    indices = np.ascontiguousarray(matrix.indices[:size], np.int32)
    indptr = np.ascontiguousarray(matrix.indptr, np.int64)
    values = numeric(matrix.data[:size], name)
    try:
        if exact:
            check_exact(values, name)
        data = converted(values, name)
    except ValueError:
        # It knows the place among those that are there alone: made dense, one row after the other.
        for row in range(len(indptr) - 1):
            line = np.zeros((1, x.shape[1]), values.dtype)
            at = slice(indptr[row], indptr[row + 1])
            line[0, indices[at]] = values[at]
            if exact:
                check_exact(line, name, row)
            converted(line, name, first=row)
        raise
    return SparseRows(data, indices, indptr, x.shape[1])


def _check(matrix: Any, name: str, across: str = "column") -> None:
    """ValueError unless indices and ends are those of a CSR matrix of this shape: SciPy itself does not look.

    across: what a column of it is, of the matrix that the user knows.
    """
    rows, columns = matrix.shape
    indices, ends, size = matrix.indices, matrix.indptr, min(len(matrix.data), len(matrix.indices))
    if len(ends) != rows + 1 or ends[0] != 0 or ends[-1] > size or (np.diff(ends) < 0).any():
        raise ValueError(f"{name} is no sparse matrix: its indptr does not fit its data; make it anew")
    indices = indices[: ends[-1]]
    if len(indices) and not 0 <= indices.min() <= indices.max() < columns:
        bad = indices[(indices < 0) | (indices >= columns)][0]
        at = int(np.flatnonzero(indices == bad)[0])
        along = int(np.searchsorted(ends, at, "right")) - 1
        where = f"row {along}, column {bad}" if across == "column" else f"row {bad}, column {along}"
        raise ValueError(
            f"{name} has a number at {where}, but its {across}s go from 0 to {columns - 1}; make the matrix anew"
        )


def side_by_side(parts: Sequence[Any]) -> SparseRows:
    """Rows of several inputs as one, dense ones among them: each (rows, width), float32, or SparseRows."""
    counts: list[Any] = []
    found, start = [], 0
    for part in parts:
        if not isinstance(part, SparseRows):
            part = of_dense(np.ascontiguousarray(part, np.float32))
        at = slice(part.indptr[0], part.indptr[-1])
        counts.append(np.diff(part.indptr))
        found.append((part.data[at], part.indices[at] + np.int32(start), part.indptr[:-1] - part.indptr[0]))
        start += part.shape[1]
    ends = np.concatenate([[0], np.sum(counts, axis=0).cumsum()])
    data, indices = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.int32)
    free = ends[:-1].copy()  # where the next number of each row goes
    for count, (values, columns, begins) in zip(counts, found, strict=True):
        to = np.arange(len(values)) + np.repeat(free - begins, count)
        data[to], indices[to] = values, columns
        free += count
    return SparseRows(data, indices, ends, start)


def of_dense(x: Any) -> SparseRows:
    """The numbers of an array (rows, columns), float32, that are not 0."""
    rows, columns = np.nonzero(x)
    ends = np.concatenate([[0], np.bincount(rows, minlength=len(x)).cumsum()])
    return SparseRows(x[rows, columns], columns.astype(np.int32), ends, x.shape[1])


def one_below_the_other(parts: Sequence[SparseRows]) -> SparseRows:
    """Rows of the same columns as one."""
    spans = [slice(part.indptr[0], part.indptr[-1]) for part in parts]
    before = np.cumsum([0, *(span.stop - span.start for span in spans)])
    ends = [part.indptr[1:] - part.indptr[0] + start for part, start in zip(parts, before[:-1], strict=True)]
    data, indices = (
        np.concatenate([getattr(part, name)[span] for part, span in zip(parts, spans, strict=True)])
        for name in ("data", "indices")
    )
    return SparseRows(data, indices, np.concatenate([[0], *ends]), parts[0].shape[1])
