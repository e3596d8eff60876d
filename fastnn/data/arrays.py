"""Rows from arrays: anything that NumPy reads as numbers, converted once to float32."""

from __future__ import annotations

import copy
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_flag, check_batch_size, check_count

from .convert import has_columns, to_float32, to_rows
from .source import Page, RowSource, row_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from fastnn.typing import Shape

__all__ = ["ArraySource"]


class ArraySource(RowSource):
    """Rows from arrays. All of them are one page.

    x: (rows, ...) numbers; (rows,) is read as rows of one feature. y: (rows, ...), of the output's
    shape, or without its last axis where that is one number, as for class numbers. sample_weight:
    (rows,), or a number for each value of the loss, (rows, ...); finite and not negative. For a
    model with several outputs it is (rows, outputs), `outputs` the values of all losses in a row.
    Any numeric dtype, order, stride and byte order will do, and so will lists, data frames and
    series (pandas, polars, pyarrow), record arrays, tensors (torch, JAX), and whatever has `__array__`,
    `__dlpack__` or the buffer protocol. What is float32, C-contiguous and aligned already is kept
    without a copy; so are large arrays of bool, int8, uint8, int16 and uint16, such as pictures,
    of which each batch becomes float32 when it is needed. The rest is converted once. exact:
    refuse whole numbers in x that float32 would round, as it is done in y. ids: what reads x looks
    up ids alone, so whole numbers of any size stay what they are.

    Attributes: `x` (rows, features), `y` (rows, targets) or None, `weight` (rows,), (rows, lines)
    or None, and `columns`, the names of x's columns where it was a frame.

    Raises TypeError for what is not numbers. Raises ValueError for no rows, no features, lengths
    that differ, a bad weight, a number beyond float32's range, and a whole number in y that
    float32 would round (a label must stay exact). NaN and infinity in x and y pass, and a missing
    value in a frame is NaN.
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        outputs: int = 1,
        exact: bool = False,
        ids: bool = False,
    ) -> None:
        exact, ids = as_flag("exact", exact), as_flag("ids", ids)
        rows_of_x = to_rows(x, "x", exact, ids)
        if has_columns(x):
            from .frames import names_of, own_names

            self.columns, self.names = names_of(x), own_names(x)
        rows = len(rows_of_x)
        self.input_shape = row_shape(rows_of_x.shape)
        self.x: NDArray[Any] = rows_of_x.reshape(rows, -1)
        self.y: NDArray[np.float32] | None = None
        self.weight: NDArray[np.float32] | None = None
        if y is not None:
            self.y, self.target_shape = targets_of(y, rows)
        if sample_weight is not None:
            self.weight, self.weight_shape = weights_of(sample_weight, rows, self.target_shape, outputs)
        self.targets = 0 if self.y is None else self.y.shape[1]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.x)

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give all rows as one page, in an order drawn from `rng`."""
        if type(batch_size) is not int or batch_size < 1:
            check_batch_size(batch_size)
        return iter([Page(self.x, self.y, self.weight, row_order(self.rows, rng))])

    def part(self, start: int, stop: int) -> ArraySource:
        part = self.select(slice(start, stop))
        part.first = self.first + start
        return part

    def select(self, places: slice | NDArray[np.integer]) -> ArraySource:
        """Return the rows at these places, in that order, as a source whose rows are counted from 0."""
        part = copy.copy(self)
        part.first = 0
        part.x = self.x[places]
        part.y = None if self.y is None else self.y[places]
        part.weight = None if self.weight is None else self.weight[places]
        return part


def row_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one row of an x of this shape; ValueError where it has no rows or no features."""
    if shape[0] == 0:
        raise ValueError(f"x has no rows: its shape is {shape}; give at least one")
    if 0 in shape:
        raise ValueError(f"x has no features: its shape is {shape}")
    return shape[1:] or (1,)


def input_forms(shape: Shape) -> tuple[Shape, ...]:
    """The shapes of a row that may be given for an input of `shape`: a last axis of one may be there or not."""
    others = [shape[:-1]] if shape[-1:] == (1,) else []
    return (shape, *others, (*shape, 1))


def target_forms(shape: Shape) -> tuple[Shape, ...]:
    """The shapes that a row of y may have where `shape` is expected: that, without a last axis of one number, flat."""
    return (shape, shape[:-1], (prod(shape),)) if shape[-1:] == (1,) else (shape, (prod(shape),))


def check_targets_shape(shape: Shape, rows: int) -> None:
    """Raise ValueError unless a y of this shape has targets for `rows` rows."""
    if shape[0] != rows:
        raise ValueError(f"x has {rows} rows but y has {shape[0]}; they need one row each")
    if 0 in shape:
        raise ValueError(f"y has no target columns: its shape is {shape}")


def targets_of(y: ArrayLike, rows: int) -> tuple[NDArray[np.float32], Shape]:
    """Return y as (rows, targets), and the shape that a row of it had."""
    array = to_float32(y, "y", exact=True)
    check_targets_shape(array.shape, rows)
    return array.reshape(rows, -1), array.shape[1:]


def weights_of(
    sample_weight: ArrayLike, rows: int, target_shape: Shape | None, outputs: int = 1
) -> tuple[NDArray[np.float32], Shape]:
    """Return sample_weight as (rows,), or as (rows, lines) where it has more axes; and the shape that a row of it had.

    target_shape: of a row of y, None where there is none. outputs: lines of all outputs, where there are several.
    """
    outputs = check_count("outputs", outputs)
    weight = to_float32(sample_weight, "sample_weight")
    expected = (rows,) if outputs == 1 else (rows, outputs)
    by_line = outputs == 1 and bool(target_shape)  # only the model knows how many values the loss has
    if weight.shape != expected and not (by_line and weight.shape[0] == rows and weight.size):
        more = ", or one for each value of the loss" if by_line else ""
        raise ValueError(
            f"sample_weight must have the shape {expected}, one number for each row of x{more}, got {weight.shape}"
        )
    bad = ~((weight >= 0) & (weight < np.inf))
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        raise ValueError(
            f"sample_weight must be finite and not negative, got {weight[bad][0]:g} at row {row}; "
            "a weight of 0 leaves a row out"
        )
    return weight.reshape(rows, -1) if weight.size > rows else weight.reshape(rows), weight.shape[1:]
