"""Numbers in any container, as float32: strictly, in one place, and without a copy where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._numbers import as_numbers, check_exact, converted, numeric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_FLOAT32 = np.dtype(np.float32)
_MAX_AXES = 64  # of NumPy's arrays
# Bytes of float32 from which on an array of small whole numbers stays as it is: below, to convert it once is faster.
KEPT_FROM = 2**20


def to_float32(value: ArrayLike, name: str, exact: bool = False, first: int = 0) -> NDArray[np.float32]:
    """Return `value` as a float32 array, C-contiguous and aligned: itself where it is so already.

    value: an array, list, data frame or series, record array, tensor, or anything with `__array__`, `__dlpack__` or
    the buffer protocol. exact: refuse whole numbers that float32 would round. first: the number of the first row, for
    messages.

    Raises TypeError for what is not numbers and ValueError for a number that float32 cannot hold; the message calls
    the array `name`.
    """
    if type(value) is np.ndarray:
        flags = value.flags
        if value.dtype == _FLOAT32 and flags.c_contiguous and flags.aligned and value.ndim:
            return value
    if has_columns(value):
        from . import frames  # most programs have none

        return frames.to_float32(value, name, exact)
    array = numeric(value, name)
    if exact:
        check_exact(array, name, first)
    return converted(array, name, first=first)


def to_float64(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `value` as a float64 array, itself where it is one already; arguments and errors as ``to_float32``."""
    if has_columns(value):
        from . import frames  # most programs have none

        return frames.to_float64(value, name)
    return np.asarray(as_numbers(value, name), np.float64)


def to_rows(value: ArrayLike, name: str, exact: bool = False, ids: bool = False, first: int = 0) -> NDArray[Any]:
    """As ``to_float32``; but many numbers of a type of one or two bytes stay as they are, C-contiguous and aligned.

    The engine converts a batch of them when it needs it: they are float32 then, exactly. ids: what reads the numbers
    looks up ids alone, so that whole numbers of any size stay what they are. A bool is 0 or 1.
    """
    if has_columns(value):
        return to_float32(value, name, exact, first)
    array = numeric(value, name)
    if ids and array.dtype.kind == "O" and all(isinstance(each, int) for each in array.flat):
        array = _as_int64(array)
    if ids and array.dtype.kind == "u" and array.dtype.itemsize >= 4:
        array = _as_int64(array)
    if keeps(array.dtype, ids) and (array.dtype.itemsize > 2 or 4 * array.size >= KEPT_FROM):
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
    return to_float32(array, name, exact or ids, first)


def keeps(dtype: Any, ids: bool) -> bool:
    """Whether the engine reads whole numbers of this type."""
    return dtype.kind in "biu" and (dtype.itemsize <= 2 or (ids and dtype.kind == "i"))


def _as_int64(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as int64; as they are where it does not hold them."""
    info = np.iinfo(np.int64)
    if array.size and not info.min <= array.min() <= array.max() <= info.max:
        return array
    return array.astype(np.int64)


def has_columns(value: object) -> bool:
    """Whether `value` has columns that may have names: a data frame, one column of one, or a record array."""
    if type(value) is np.ndarray:
        return value.dtype.names is not None
    return looks_like_columns(value) or getattr(getattr(value, "dtype", None), "names", None) is not None


def axes_of(value: Any) -> int:
    """How many axes `value` has, as an array; of nested lists without a look at all of them."""
    axes = 0
    while isinstance(value, (list, tuple)):
        axes += 1
        if not value or axes > _MAX_AXES:  # a list may hold itself
            return axes
        value = value[0]
    return axes + np.ndim(value)


def looks_like_columns(value: object) -> bool:
    """Whether `value` is a data frame, or one column of one: what can say which of its values are missing."""
    return any(hasattr(value, sign) for sign in ("isna", "is_null", "get_columns", "column_names"))
