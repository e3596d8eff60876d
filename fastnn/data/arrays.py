"""Rows from arrays: anything that NumPy reads as numbers, converted once to float32."""

from __future__ import annotations

import math
import numbers
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._table import check_count

from .source import Page, Source, row_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

# float32 holds every whole number up to here.
EXACT = 2**24

_HINTS = {
    "c": "give the real and the imaginary part as two features",
    "U": "turn each text into a number first, e.g. with np.unique(..., return_inverse=True)",
    "S": "turn each text into a number first, e.g. with np.unique(..., return_inverse=True)",
    "T": "turn each text into a number first, e.g. with np.unique(..., return_inverse=True)",
    "M": "turn times into numbers first, e.g. the seconds since a date",
    "m": "turn durations into numbers first, e.g. seconds",
}


class ArraySource(Source):
    """Rows from arrays. All of them are one page.

    x: (rows, ...) numbers; (rows,) is read as rows of one feature. y: (rows,) or (rows, targets).
    sample_weight: (rows,), finite and not negative. Any numeric dtype, order, stride and byte
    order will do, and so will lists and whatever has `__array__`; what is not float32,
    C-contiguous and aligned already is converted once, and the rest is kept without a copy.

    Attributes: `x` (rows, features), `y` (rows, targets) or None, `weight` (rows,) or None.

    Raises TypeError for what is not numbers. Raises ValueError for no rows, no features, lengths
    that differ, a bad weight, a number beyond float32's range, and a whole number in y that
    float32 would round (a label must stay exact). NaN and infinity in x and y pass.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> None:
        rows_of_x = to_float32(x, "x")
        rows = len(rows_of_x)
        if rows == 0:
            raise ValueError(f"x has no rows: its shape is {rows_of_x.shape}; give at least one")
        shape = rows_of_x.shape[1:] if rows_of_x.ndim > 1 else (1,)
        if 0 in shape:
            raise ValueError(f"x has no features: its shape is {rows_of_x.shape}")
        self.input_shape = shape
        self.x: NDArray[np.float32] = rows_of_x.reshape(rows, -1)
        self.y = None if y is None else _targets(y, rows)
        self.weight = None if sample_weight is None else _weights(sample_weight, rows)
        self.targets = 0 if self.y is None else self.y.shape[1]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.x)

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give all rows as one page, in an order drawn from `rng`."""
        check_count("batch_size", batch_size)
        return iter([Page(self.x, self.y, self.weight, row_order(self.rows, rng))])

    def split(self, fraction: float) -> tuple[ArraySource, ArraySource]:
        """Split into (train, validation): the LAST `fraction` of the rows is for validation.

        fraction: above 0 and below 1; validation starts at row floor(rows · (1 - fraction)), as
        Keras's `validation_split` does, whatever order the rows are later drawn in. The two share
        this source's memory. Raises ValueError where either would be empty.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, numbers.Real):
            raise TypeError(f"the fraction to split off must be a number, got {fraction!r}")
        if not 0 < fraction < 1:
            raise ValueError(f"the fraction to split off must lie between 0 and 1, got {fraction}")
        at = math.floor(self.rows * (1 - float(fraction)))
        if not 0 < at < self.rows:
            raise ValueError(
                f"splitting {self.rows} rows by {fraction} leaves {at} for training and "
                f"{self.rows - at} for validation; give more rows or another fraction"
            )
        return self._part(slice(None, at)), self._part(slice(at, None))

    def _part(self, part: slice) -> ArraySource:
        x = self.x[part]
        return ArraySource(
            x.reshape(len(x), *self.input_shape),
            None if self.y is None else self.y[part],
            None if self.weight is None else self.weight[part],
        )


def source_of(x: Any, y: Any, sample_weight: Any) -> Source:
    """What `fit` and `evaluate` are given, as a source."""
    if isinstance(x, Source):
        if y is not None or sample_weight is not None:
            raise ValueError("a source brings its own targets and weights; leave y and sample_weight out")
        return x
    if x is None:
        raise ValueError("x is missing; pass arrays x and y, or a source such as SQLDataset")
    return ArraySource(x, y, sample_weight)


def validation_of(data: Any) -> Source:
    """What `fit` is given as validation_data, as a source."""
    if isinstance(data, Source):
        return data
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError("validation_data must be (x, y), (x, y, sample_weight) or a source")
    try:
        return source_of(*data, *[None] * (3 - len(data)))
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None


def to_float32(value: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return `value` as a float32 array, C-contiguous and aligned: itself where it is so already.

    Raises TypeError for what is not numbers and ValueError for a number beyond float32's range;
    the message calls the array `name`.
    """
    return _converted(_numeric(value, name), name)


def _numeric(value: ArrayLike, name: str) -> NDArray[Any]:
    # np.asarray drops a mask without a word. Only who has imported numpy.ma can have one.
    ma = sys.modules.get("numpy.ma")
    if ma is not None and ma.is_masked(value):
        raise ValueError(f"{name} has masked values; fill them first, e.g. with {name}.filled(0)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array with rows of one length; NumPy: {error}") from error
    if array.ndim == 0:
        raise TypeError(
            f"{name} must be an array with one entry for each row, got {type(value).__name__}; "
            "give a NumPy array or a list (and a sparse matrix through .toarray())"
        )
    if array.dtype.kind not in "biufO":
        hint = _HINTS.get(array.dtype.kind, f"convert it first, e.g. {name}.astype('float32')")
        if array.dtype.names:
            hint = "give its fields as the columns of one array"
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}; {hint}")
    return array


def _from_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    values = np.empty(array.size)
    for i, value in enumerate(array.flat):
        # Python's Decimal is a Number, but neither Real nor Complex.
        number = isinstance(value, numbers.Real | np.bool_) or (
            isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex)
        )
        if not number:
            raise TypeError(
                f"{name} must hold numbers, got {type(value).__name__} {_short(value)} at "
                f"{_place(array, i)}; fill or convert it first"
            )
        try:
            values[i] = float(value)
        except OverflowError:
            raise _beyond_range(array, i, name) from None
    return values.reshape(array.shape)


def _converted(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    if array.dtype.kind == "O":
        array = _from_objects(array, name)
    try:
        with np.errstate(all="ignore", over="raise"):
            return np.require(array, np.float32, ["C", "A"])
    except FloatingPointError:
        with np.errstate(all="ignore"):
            lost = np.isinf(array.astype(np.float32)) & np.isfinite(array)
        raise _beyond_range(array, int(np.flatnonzero(lost)[0]), name) from None


def _beyond_range(array: NDArray[Any], i: int, name: str) -> ValueError:
    return ValueError(
        f"{name} holds {_short(array.flat[i])} at {_place(array, i)}, beyond float32's range "
        f"of ±3.4e38; scale {name} first"
    )


def _check_exact(array: NDArray[Any], name: str) -> None:
    """Refuse whole numbers that float32 would round: two labels must not become one."""
    if array.dtype.kind == "O":
        wide = [i for i, value in enumerate(array.flat) if isinstance(value, numbers.Integral)]
    elif array.dtype.kind in "iu" and array.size:
        if array.max() <= EXACT and array.min() >= -EXACT:
            return
        wide = np.flatnonzero((array > EXACT) | (array < -EXACT)).tolist()
    else:
        return
    for i in wide:
        value = int(array.flat[i])
        if abs(value) > EXACT and int(np.float32(value)) != value:
            raise ValueError(
                f"{name} holds the whole number {value} at {_place(array, i)}, which float32 "
                f"cannot hold exactly; number the classes from 0, or give {name} as floats if "
                "rounding is meant"
            )


def _targets(y: ArrayLike, rows: int) -> NDArray[np.float32]:
    array = _numeric(y, "y")
    if array.ndim > 2:
        raise ValueError(
            f"y must have the shape (rows,) or (rows, targets), got {array.shape}; "
            "reshape it to one row of targets each"
        )
    if len(array) != rows:
        raise ValueError(f"x has {rows} rows but y has {len(array)}; they need one row each")
    if array.size == 0:
        raise ValueError(f"y has no target columns: its shape is {array.shape}")
    _check_exact(array, "y")
    return _converted(array, "y").reshape(rows, -1)


def _weights(sample_weight: ArrayLike, rows: int) -> NDArray[np.float32]:
    weight = to_float32(sample_weight, "sample_weight")
    if weight.shape != (rows,):
        raise ValueError(
            f"sample_weight must have the shape ({rows},), one number for each row of x, got {weight.shape}"
        )
    bad = ~((weight >= 0) & (weight < np.inf))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"sample_weight must be finite and not negative, got {weight[row]:g} at row {row}; "
            "a weight of 0 leaves a row out"
        )
    return weight


def _place(array: NDArray[Any], i: int) -> str:
    row, column = divmod(i, array.size // len(array))
    return f"row {row}" if array.ndim == 1 else f"row {row}, column {column}"


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, np.generic) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
