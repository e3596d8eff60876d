"""What a fit is given, as blocks of float64 rows that can be gone through again and again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn._numbers import numeric
from fastnn.data import Dataset, Source
from fastnn.data.convert import has_columns, to_float64
from fastnn.data.frames import own_names
from fastnn.data.given import source_of
from fastnn.data.kinds import gives_batches
from fastnn.typing import Array, DoubleArray

# Numbers of a block: it stays in cache from its conversion to the last sum that it goes into.
_NUMBERS = 2**16


class Block(NamedTuple):
    """Rows that follow one another: x (rows, features), y and weight (rows,), float64; None where there are none.

    first: the number of the first of them.
    """

    x: DoubleArray
    y: Any
    weight: DoubleArray | None
    first: int


class Rows:
    """Rows to be gone through several times, in the same blocks each time. features, names: of x; () for no names."""

    features: int
    names: tuple[str, ...] = ()
    checked = False  # whether all numbers have been found to be finite

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks():
            if not self.checked:
                check_finite(block.x, block.first, self.names)
                if block.y is not None and not np.isfinite(block.y).all():
                    row = int(np.flatnonzero(~np.isfinite(block.y))[0])
                    raise ValueError(
                        f"y contains {_word(block.y[row])} at row {block.first + row}; leave rows without a target out"
                    )
            yield block
        self.checked = True

    def _blocks(self) -> Iterator[Block]:
        raise NotImplementedError


class ArrayRows(Rows):
    """Rows of arrays in memory. x: (rows, features), an array or a CSR matrix; y, weight: (rows,) or None."""

    def __init__(
        self, x: Any, names: tuple[str, ...] = (), y: DoubleArray | None = None, weight: DoubleArray | None = None
    ) -> None:
        self.x, self.names, self.y, self.weight = x, names, y, weight
        self.rows, self.features = x.shape

    def _blocks(self) -> Iterator[Block]:
        size = max(1, _NUMBERS // self.features)
        for start in range(0, self.rows, size):
            part = slice(start, start + size)
            x = self.x[part]
            x = x.toarray() if hasattr(x, "toarray") else x
            yield Block(
                np.require(x, np.float64, "C"),
                None if self.y is None else self.y[part],
                None if self.weight is None else self.weight[part],
                start,
            )


class SourceRows(Rows):
    """Rows of a dataset, page by page; only a page is held by this."""

    def __init__(self, source: Source, targets: bool) -> None:
        if len(source.input_shape) != 1:
            raise ValueError(
                f"expected rows of numbers, got rows of shape {source.input_shape}; a linear model reads one number a "
                "column"
            )
        if getattr(source, "prepare", None) is not None:
            raise ValueError(
                "fastnn.linear reads columns of numbers; leave prepare= out, and make numbers in the query"
            )
        if targets and source.targets != 1:
            raise ValueError(
                f"expected one target for each row, and the dataset has {source.targets}; name it: "
                'SQLDataset(..., target="price")'
            )
        self.source, self.features, self.names = source, source.input_shape[0], tuple(source.names)
        self._targets = targets

    def _blocks(self) -> Iterator[Block]:
        size, first = max(1, _NUMBERS // self.features), 0
        for page in self.source.pages(size):
            order = page.order
            count = page.rows
            for start in range(0, count, size):
                part: Any = slice(start, start + size) if order is None else order[start : start + size]
                y = page.y[part, 0].astype(np.float64) if self._targets and page.y is not None else None
                weight = None if page.weight is None else page.weight[part].reshape(-1).astype(np.float64)
                yield Block(np.asarray(page.x[part], np.float64), y, weight, first + start)
            first += count


def is_dataset(x: Any) -> bool:
    """Whether x brings its own targets."""
    return isinstance(x, (Source, Dataset))


def dataset_rows(x: Any, targets: bool = True) -> SourceRows:
    """The rows of a dataset."""
    return SourceRows(source_of(x, None, None), targets)


def matrix_of(x: Any, reads_sparse: bool = True) -> tuple[Any, tuple[str, ...]]:
    """(x as an array of numbers or as CSR, (rows, features); the names of its columns, () where they have none).

    TypeError, ValueError for what is no such table; scikit-learn's words stand in them where it has its own.
    """
    if hasattr(x, "tocsr"):
        if not reads_sparse:
            raise TypeError("sparse rows are not supported here; call x.toarray() first")
        if x.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: x has dtype {x.dtype}")
        matrix = x.tocsr()
        _check_table(matrix)
        return matrix, ()
    if gives_batches(x):
        raise TypeError(
            f"x is a {type(x).__name__}, which gives batches; give arrays, a data frame, or a dataset such as "
            "SQLDataset, which can be read several times"
        )
    if isinstance(x, Mapping):
        names, array = _stacked(x)
    elif has_columns(x):
        names = own_names(x)
        array = to_float64(x, "x")
    else:
        names = ()
        if getattr(getattr(x, "dtype", None), "kind", "") == "c":
            raise ValueError(f"Complex data not supported: x has dtype {x.dtype}")
        array = numeric(x, "x")
        if array.dtype.kind == "O":
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError) as error:  # Python's words, in which scikit-learn's check knows them
                raise type(error)(f"x must hold numbers: {error}; fill or convert what is none first") from None
    _check_table(array)
    return array, names


def _stacked(columns: Mapping[Any, Any]) -> tuple[tuple[str, ...], DoubleArray]:
    """(the names, the columns side by side) of a dict of them."""
    arrays = []
    for name, column in columns.items():
        if not isinstance(name, str):
            raise TypeError(f"x: the columns of a dict have texts as names, got {shown(name)}")
        arrays.append(to_float64(column, f"x[{name!r}]"))
        if arrays[-1].ndim != 1 or len(arrays[-1]) != len(arrays[0]):
            raise ValueError(
                f"x[{name!r}] must have one number for each row, {len(arrays[0])}, got the shape {arrays[-1].shape}"
            )
    if not arrays:
        raise ValueError("x has no columns: it is an empty dict")
    return tuple(columns), np.column_stack(arrays)


def _check_table(array: Any) -> None:
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: x must have the shape (rows, features), got "
            f"{array.shape}. Reshape your data: x.reshape(-1, 1) for one feature, x.reshape(1, -1) for one row"
        )
    if array.shape[1] == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    if array.shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required.")


def check_finite(x: DoubleArray, first: int, names: tuple[str, ...]) -> None:
    """ValueError, with the place, where a number is missing or infinite. first: the number of the first row."""
    if np.isfinite(np.add.reduce(x, axis=None)):
        return
    bad = ~np.isfinite(x)
    if not bad.any():  # the sum alone overflows
        raise ValueError("x holds numbers beyond 1e300, whose sums float64 cannot hold; scale the columns first")
    row, column = map(int, np.argwhere(bad)[0])
    name = repr(names[column]) if names else column
    raise ValueError(
        f"x contains {_word(x[row, column])} at row {first + row}, column {name}; fill missing values or leave their "
        "rows out"
    )


def _word(value: Any) -> str:
    return "NaN" if np.isnan(value) else "infinity (inf)"


def weights_of(sample_weight: Any, rows: int) -> DoubleArray | None:
    """Weights of rows, (rows,), float64; None for None. ValueError for a bad one."""
    if sample_weight is None:
        return None
    weight = np.asarray(to_float64(sample_weight, "sample_weight"))
    if weight.shape == ():
        weight = np.full(rows, float(weight))
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight must have the shape ({rows},), one number for each row, got {weight.shape}")
    bad = ~((weight >= 0) & (weight < np.inf))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"sample_weight must be finite and not negative, got {weight[row]:g} at row {row}")
    if not weight.any():
        raise ValueError("sample_weight: all weights are zero, so there is no row to fit; give weights above 0")
    return weight


def column_of(y: Any, rows: int, name: str) -> Array:
    """y as (rows,), of the type it has; ValueError for what is missing or of another length."""
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    if hasattr(y, "tocsr"):
        raise ValueError("y is sparse, where one target for each row is expected; call y.toarray().ravel() first")
    array = np.asarray(y)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y has dtype {array.dtype}")
    if array.ndim == 2 and array.shape[1] == 1:
        import warnings

        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,), "
            "for example using ravel().",
            of_sklearn("DataConversionWarning", UserWarning),
            stacklevel=4,
        )
        array = array.ravel()
    if array.ndim != 1:
        raise ValueError(f"y should be a 1d array, one target for each row, got an array of shape {array.shape}")
    if len(array) != rows:
        raise ValueError(f"x has {rows} rows but y has {len(array)}; they need one row each")
    return array


def of_sklearn(name: str, other: type) -> type:
    """A class of sklearn.exceptions, where the program has imported scikit-learn; else the other."""
    module = sys.modules.get("sklearn.exceptions")
    return other if module is None else getattr(module, name)


def as_groups(groups: Any) -> Array | None:
    """The number of each row's group; None where there are none. ValueError for fewer than two."""
    if groups is None:
        return None
    array = np.asarray(groups)
    if array.ndim != 1:
        raise ValueError(f"groups must have the shape (rows,), one for each row, got {array.shape}")
    numbers = np.unique(array, return_inverse=True)[1]
    if numbers.max() == 0:
        raise ValueError("groups: there must be at least two groups")
    found: Array = numbers
    return found
