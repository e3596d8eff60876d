"""Columns that have names as float32: data frames of pandas, polars, pyarrow, datasets, and NumPy's record arrays.

None of these packages is imported here. A missing value (None, NA, NaN, null) becomes NaN. Text, categories and times
are refused by the column's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._numbers import (
    EXACT,
    LABELS,
    advice,
    check_exact,
    converted,
    from_objects,
    is_target,
    not_numbers,
    numeric,
    refuse_masked,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CATEGORIES = (
    "make a column for each category (get_dummies in pandas, to_dummies in polars), number the categories, or leave "
    "the column out"
)
# Rows of all columns that are put side by side while they are in cache.
_BLOCK = 4096


def names_of(value: Any) -> tuple[str, ...]:
    """Return the names of the columns of a frame, a record array or a named series; () for anything else."""
    fields = getattr(getattr(value, "dtype", None), "names", None)
    if fields:
        return tuple(fields)
    if hasattr(value, "column_names"):  # pyarrow, datasets
        return tuple(value.column_names)
    if hasattr(value, "columns"):
        return tuple(str(label) for label in value.columns)
    name = getattr(value, "name", None)
    return () if name in (None, "") else (str(name),)


def own_names(value: Any) -> tuple[str, ...]:
    """Return the names of several columns side by side, where somebody gave them names: texts, all of them."""
    fields = getattr(getattr(value, "dtype", None), "names", None)
    labels: Any = fields or getattr(value, "column_names", None) or getattr(value, "columns", ())
    named = len(labels) > 0 and all(isinstance(label, str) for label in labels)
    return tuple(labels) if named else ()


def to_float32(value: Any, name: str, exact: bool) -> NDArray[np.float32]:
    """Return a frame as (rows, columns), or one column as (rows,); arguments as ``convert.to_float32``."""
    try:
        return _converted(value, name, exact)
    except (TypeError, ValueError):
        raise
    except Exception as error:  # of the package that the frame is of
        raise TypeError(f"{name} cannot be read ({type(value).__name__}: {error}); {advice(value)}") from error


def to_float64(value: Any, name: str) -> NDArray[np.float64]:
    """As ``to_float32``, in float64."""
    columns = columns_of(value, name)
    if columns is None:
        label = getattr(value, "name", None)
        name = name if label in (None, "") else f"column {str(label)!r} of {name}"
        return np.asarray(_column(value, name, False), np.float64)
    arrays = [_column(column, f"column {label!r} of {name}", False) for label, column in columns]
    return np.column_stack([np.asarray(array, np.float64) for array in arrays]) if arrays else np.empty((0, 0))


def _converted(value: Any, name: str, exact: bool) -> NDArray[np.float32]:
    columns = columns_of(value, name)
    if columns is None:
        label = getattr(value, "name", None)
        name = name if label in (None, "") else f"column {str(label)!r} of {name}"
        return converted(_column(value, name, exact), name)
    dtypes = set(value.dtypes) if hasattr(value, "iloc") else set()
    if len(dtypes) == 1 and _plain(next(iter(dtypes))):
        array, names = value.to_numpy(), names_of(value)
        if exact:
            check_exact(array, name, columns=names)
        return converted(array, name, names)
    named = [(f"column {label!r} of {name}", column) for label, column in columns]
    arrays = [_column(column, known_as, exact) for known_as, column in named]
    try:
        return _side_by_side(arrays)
    except FloatingPointError:
        for (known_as, _), array in zip(named, arrays, strict=True):
            converted(array, known_as)
        raise


def _side_by_side(arrays: list[NDArray[Any]]) -> NDArray[np.float32]:
    out = np.empty((len(arrays[0]) if arrays else 0, len(arrays)), dtype=np.float32)
    with np.errstate(all="ignore", over="raise"):
        for start in range(0, len(out), _BLOCK):
            block = out[start : start + _BLOCK]
            for i, array in enumerate(arrays):
                block[:, i] = array[start : start + _BLOCK]
    return out


def columns_of(value: Any, name: str) -> list[tuple[str, Any]] | None:
    """Return the columns of a frame with their names; None for anything else. name: what a message calls the frame."""
    fields = getattr(getattr(value, "dtype", None), "names", None)
    if fields:
        refuse_masked(value, name)
        if value.ndim != 1:
            raise TypeError(f"{name} must have one record for each row, got records of shape {value.shape}")
        return [(field, np.asarray(value[field])) for field in fields]
    if hasattr(value, "iloc") and hasattr(value, "columns"):  # pandas; a name may stand there twice
        if not hasattr(value, "to_numpy"):  # dask, which has not read it yet
            raise TypeError(f"{name} is a {type(value).__name__} that is still to be worked out; {advice(value)}")
        return [(str(label), column) for label, column in value.items()]
    if hasattr(value, "get_columns"):  # polars
        return [(column.name, column) for column in value.get_columns()]
    if hasattr(value, "column_names"):  # pyarrow, datasets
        if hasattr(value, "with_format"):
            if not hasattr(value, "__len__") or not isinstance(value.column_names, list):
                what = advice(value) if hasattr(value, "__len__") else "give its batches, from a generator"
                raise TypeError(f"{name} is a {type(value).__name__}; {what}")
            value = value.with_format("arrow")[:]  # the rows that were selected, in their order
        return list(zip(value.column_names, value.columns, strict=True))
    return None


def _plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _column(column: Any, name: str, exact: bool) -> NDArray[Any]:
    array = column if type(column) is np.ndarray else _values(column, name)
    array = numeric(array, name)
    if array.ndim != 1:
        raise TypeError(f"{name} holds arrays of shape {array.shape[1:]}, where one number a row is expected")
    if exact:
        check_exact(array, name)
        if array.dtype.kind == "f" and column is not array:
            _check_not_rounded(column, array, name)
    return from_objects(array, name) if array.dtype.kind == "O" else array


def _check_not_rounded(column: Any, array: NDArray[Any], name: str) -> None:
    """Whole numbers beside missing ones have become floats: look at the large ones as they were."""
    if not any(kind in str(getattr(column, "dtype", getattr(column, "type", ""))).lower() for kind in ("int", "dec")):
        return
    for row in np.flatnonzero(np.abs(array) >= EXACT).tolist():
        value = column.iloc[row] if hasattr(column, "iloc") else column[row]
        check_exact(np.array([value.as_py() if hasattr(value, "as_py") else value], object), name, row)


def _values(column: Any, name: str) -> NDArray[Any]:
    """Return the values of one column, its missing ones as NaN; TypeError where they are not numbers."""
    dtype: Any = getattr(column, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if getattr(dtype, "name", "") == "category":
        codes = "take its codes: y.cat.codes in pandas, y.to_physical() in polars; the categories are then the classes"
        hint = codes if is_target(name) else _CATEGORIES
        raise TypeError(f"{name} is categorical, where numbers are expected; {hint}")
    if kind in ("M", "m"):  # with a time zone, to_numpy would give objects
        raise not_numbers(dtype, name)
    if hasattr(dtype, "numpy_dtype") and kind in ("b", "i", "u", "f"):  # pandas's types that know NA
        if column.isna().any():
            return column.to_numpy(dtype=np.float64, na_value=np.nan)  # type: ignore[no-any-return]
        return column.to_numpy(dtype=dtype.numpy_dtype)  # type: ignore[no-any-return]
    array = _as_array(column, name)
    if array.dtype.kind == "O":
        array = array.copy()
        array[np.asarray(column.isna() if hasattr(column, "isna") else column.is_null(), dtype=bool)] = np.nan
        for row, value in enumerate(array):
            if isinstance(value, str):
                short = value if len(value) <= 32 else value[:32] + "..."
                hint = LABELS if is_target(name) else _CATEGORIES
                raise TypeError(f"{name} holds text ({short!r} at row {row}), where numbers are expected; {hint}")
    return array


def _as_array(column: Any, name: str) -> NDArray[Any]:
    """Return the values as NumPy's or Python's."""
    if hasattr(column, "compute") and not hasattr(column, "to_numpy"):  # dask's, which has not read it yet
        raise TypeError(f"{name} is a {type(column).__name__} that is still to be worked out; {advice(column)}")
    if hasattr(column, "type"):  # pyarrow
        if hasattr(column.type, "index_type"):  # numbers that stand for values: its to_numpy reads a null as one
            column = column.cast(column.type.value_type)
        return np.asarray(column.to_numpy(zero_copy_only=False) if hasattr(column, "buffers") else column.to_numpy())
    if str(getattr(column, "dtype", "")) in ("Int128", "UInt128"):  # polars; NumPy has no such type
        return np.array(column.to_list(), object)
    return np.asarray(column.to_numpy())
