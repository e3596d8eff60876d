"""Columns as they come, text and whole numbers too, before a model's front has made float32 of them.

A model with layers such as StringLookup reads more than numbers. Its *front* is what works out the engine's float32
rows from such columns: ``Several.front`` has it, a block of rows at a time, while a source is read.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastnn._numbers import refuse_masked
from fastnn.kernels.text import only_texts

from .arrays import input_forms
from .convert import has_columns, looks_like_columns, to_float32
from .sparse import FEW, SparseRows, of_dense, one_below_the_other

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.typing import Shape

# Rows that go through the front together: their Python texts take some MB.
BLOCK = 2**15
# Of more numbers than these only those are kept that are not 0, where these are few: words, kinds of things.
NUMBERS = 2**20


class Inputs(Protocol):
    """What a model with a front reads: ``Several``."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def shapes(self) -> Sequence[Shape]: ...
    @property
    def front(self) -> Any: ...
    @property
    def ignored(self) -> Collection[str]: ...
    @property
    def optional(self) -> Collection[str]: ...


class Front(Protocol):
    """What makes float32 rows of columns."""

    dtypes: Sequence[str]  # of the columns: "string", "int64" or "float32"
    missing: Sequence[Any]  # what stands for a missing value in each; None where there must be none
    width: int  # numbers in a row of the engine

    def state(self) -> tuple[Any, ...]:
        """The tables that it works with, which `adapt` replaces."""

    def rows(self, columns: Sequence[NDArray[Any]], first: int, sparse: bool = False) -> Any:
        """(rows, width) from the columns, each (rows, *its shape). first: the number of the first row, for messages.

        sparse: as ``SparseRows`` where few are not 0.
        """


def texts_of(value: Any, name: str, first: int = 0, encoding: str = "utf-8") -> NDArray[np.object_]:
    """Return `value`, texts in any container, as an array of Python's texts.

    Bytes are decoded by `encoding`; dates and times are written by ``iso_text``. TypeError for what is no text,
    ValueError for a missing one and for bytes of another encoding; the message calls the column `name`, and its first
    row `first`.
    """
    array = _as_array(value, name)
    if array.dtype.kind == "U" or not array.size:
        return array.astype(object)
    if array.dtype.kind == "M":
        if np.datetime_data(array.dtype)[0] in ("ns", "ps", "fs", "as"):  # which Python has no dates of
            array = array.astype("M8[us]")
        array = array.astype(object)
    if array.dtype.kind not in "OST":
        raise TypeError(
            f"{name} must hold text, got dtype {array.dtype}; for numbers take IntegerLookup or Hashing on an Input of "
            "dtype 'int64', or turn them into text first, e.g. with .astype(str)"
        )
    texts = array.astype(object) if array.dtype.kind != "O" else array
    flat = texts.ravel()
    if not only_texts(flat):
        made = [_text(each, name, first, place, texts, encoding) for place, each in enumerate(flat.tolist())]
        texts = as_objects(made, texts.shape)
    return texts


def iso_text(value: datetime.date | datetime.time) -> str:
    """Return a date, a time or both as ISO 8601 has them: "2013-01-05", "2013-01-05T14:00:00", "14:00:00".

    Of a point in time with a time zone it is that of UTC, "2013-01-05T13:00:00+00:00".
    """
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return value.isoformat()


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or what pandas has for nothing."""
    return value is None or value != value or str(value) in ("<NA>", "NaT")


def filled(array: NDArray[Any], value: Any) -> NDArray[Any]:
    """Return an array of any kind with `value` for what is missing."""
    if array.dtype.kind == "f":
        return np.where(np.isnan(array), value, array)
    if array.dtype.kind != "O":
        return array
    return as_objects([value if is_missing(each) else each for each in array.ravel().tolist()], array.shape)


def as_objects(values: list[Any], shape: Shape) -> NDArray[np.object_]:
    """Return a list of texts as an array of that shape."""
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def _text(value: Any, name: str, first: int, place: int, array: NDArray[Any], encoding: str) -> str:
    if isinstance(value, str):
        return str(value)
    row = first + place // max(1, prod(array.shape[1:]))
    if isinstance(value, bytes):
        try:
            return value.decode(encoding)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} at row {row} is no text in {encoding}: {error}; say its encoding") from None
    if is_missing(value):
        raise ValueError(
            f"{name} has no text at row {row}, but a missing value; fill it first, e.g. with .fillna('') in pandas, "
            "fill_null('') in polars, or COALESCE in SQL"
        )
    if isinstance(value, datetime.date | datetime.time):
        return iso_text(value)
    raise TypeError(f"{name} must hold text, got {value!r:.80} at row {row}; turn it into text first, e.g. with str")


def integers_of(value: Any, name: str, first: int = 0) -> NDArray[np.int64]:
    """Return `value`, whole numbers in any container, as int64. TypeError, ValueError as ``texts_of``."""
    array = _as_array(value, name)
    if array.dtype == np.int64:
        return array
    if array.dtype.kind in "bi":
        return array.astype(np.int64)
    if array.dtype.kind not in "ufO":
        hint = "; take StringLookup on an Input of dtype 'string'" if array.dtype.kind in "UST" else ""
        raise TypeError(f"{name} must hold whole numbers, got dtype {array.dtype}{hint}")
    if array.dtype.kind == "O":
        flat = array.ravel().tolist()
        if set(map(type, flat)) == {int}:
            with suppress(OverflowError):
                return np.fromiter(flat, np.int64, len(flat)).reshape(array.shape)
        whole = np.array([_is_whole(each) for each in flat], bool).reshape(array.shape)
    elif array.dtype.kind == "u":
        whole = array < 2**63
    else:
        with np.errstate(invalid="ignore"):
            whole = (np.floor(array) == array) & (np.abs(array) < 2**63)
    if not whole.all():
        place = tuple(np.argwhere(~whole)[0])
        raise ValueError(
            f"{name} must hold whole numbers of 64 bits, got {array[place]!r:.80} at row "
            f"{first + int(place[0]) if place else first}; fill what is missing and round what is no whole number first"
        )
    return array.astype(np.int64)


def _is_whole(value: Any) -> bool:
    if not isinstance(value, (int, float, np.number, np.bool_)):
        return False
    try:
        return int(value) == value and -(2**63) <= int(value) < 2**63
    except (ValueError, OverflowError):
        return False


def column_of(value: Any, dtype: str, name: str, first: int = 0) -> NDArray[Any]:
    """Return `value` as the column of that dtype: "string", "int64" or "float32"."""
    if dtype == "string":
        return texts_of(value, name, first)
    if dtype == "int64":
        return integers_of(value, name, first)
    if np.ndim(value) == 0 and not looks_like_columns(value):
        return to_float32(np.asarray(value)[None], name, first=first)[0, ...]
    return to_float32(value, name, first=first)


def _as_array(value: Any, name: str) -> NDArray[Any]:
    """Return `value` as an array of any kind; numbers among texts stay numbers."""
    refuse_masked(value, name)
    if type(value) is np.ndarray and value.dtype.names is None:
        return value
    if has_columns(value):
        from . import frames

        parts = frames.columns_of(value, name)
        if parts is None:
            return _series(value)
        if len(parts) == 1:
            return _series(parts[0][1])
        return np.stack([_series(column).astype(object) for _, column in parts], axis=1)
    if isinstance(value, (str, bytes)):
        return np.array(value, object)
    try:
        if isinstance(value, (list, tuple)):
            array = np.array(value, object)
            kinds = set(map(type, array.ravel().tolist())) if array.size else set()
            # Beside a float a whole number would become one, and lose what it has beyond 2**53.
            return np.asarray(value) if len(kinds) == 1 and not kinds & {str, bytes, type(None)} else array
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array with rows of one length; NumPy: {error}") from error


def _series(column: Any) -> NDArray[Any]:
    """Return one column of a frame of pandas, polars or pyarrow as an array; missing values among objects."""
    if getattr(getattr(column, "dtype", None), "kind", "") in ("b", "i", "u", "f") and hasattr(column, "isna"):
        return np.asarray(column.to_numpy(na_value=np.nan) if column.isna().any() else column.to_numpy())
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):  # categories of pandas
        categories = [*column.cat.categories.tolist(), None]
        return np.asarray(as_objects(categories, (len(categories),))[column.cat.codes.to_numpy()])
    for method in ("to_pylist", "to_list", "tolist"):  # pyarrow, polars, pandas
        if hasattr(column, method):
            values = getattr(column, method)()
            return as_objects(values, (len(values),))
    return np.asarray(column)


def columns_of(values: Any, inputs: Inputs) -> list[NDArray[Any]]:
    """Return the columns that a model with a front reads, each (rows, *shape), as they are; arguments as `rows_of`."""
    front = inputs.front
    columns = [
        _shaped(array, dtype, name, shape, missing)
        for array, dtype, name, shape, missing in zip(
            _columns(values, inputs), front.dtypes, inputs.names, inputs.shapes, front.missing, strict=True
        )
    ]
    rows = len(columns[0])
    for name, column in zip(inputs.names, columns, strict=True):
        if len(column) != rows:
            raise ValueError(
                f"x[{inputs.names[0]!r}] has {rows} rows but x[{name!r}] has {len(column)}; they need one row each"
            )
    if rows == 0:
        raise ValueError("x has no rows; give at least one")
    return columns


def rows_of(values: Any, inputs: Inputs) -> Any:
    """Return the engine's rows for a model with a front: (rows, width), float32; ``SparseRows`` of many, mostly 0.

    values: the columns, as a dict or a data frame by name, or a list in the order of ``inputs.names``; of a single
    input its array. Raises TypeError, ValueError as ``texts_of``, and ValueError for a missing or surplus column, rows
    of another shape, and numbers of rows that differ.
    """
    front, columns = inputs.front, columns_of(values, inputs)
    names, rows = [f"x[{name!r}]" for name in inputs.names], len(columns[0])
    many = rows * front.width > NUMBERS
    size = max(1, min(BLOCK, NUMBERS // front.width)) if many else BLOCK
    out: Any = None
    sparse: list[SparseRows] = []
    for start in range(0, rows, size):
        parts = [
            column_of(column[start : start + size], dtype, name, start)
            for column, dtype, name in zip(columns, front.dtypes, names, strict=True)
        ]
        found = front.rows(parts, start, many)
        is_sparse = isinstance(found, SparseRows)
        if many and start == 0 and (is_sparse or np.count_nonzero(found) * FEW <= found.size):
            out = sparse
        if out is sparse:
            sparse.append(found if is_sparse else of_dense(found))
            continue
        if out is None:
            out = np.empty((rows, front.width), np.float32)
        out[start : start + size] = found
    return one_below_the_other(sparse) if sparse else out


def _columns(values: Any, inputs: Inputs) -> Sequence[Any]:
    names = inputs.names
    by_name: Any = None
    if isinstance(values, Mapping):
        by_name = values
    elif has_columns(values):
        from . import frames

        parts = frames.columns_of(values, "x")
        if parts is not None and not (len(names) == 1 and prod(inputs.shapes[0]) == len(parts)):
            by_name = dict(parts)
    if by_name is not None:
        missing = [name for name in names if name not in by_name and name not in inputs.optional]
        surplus = [name for name in by_name if name not in names and name not in inputs.ignored]
        if missing or surplus:
            raise ValueError(
                f"x must have the columns {_listed(names)}; "
                + (f"it lacks {_listed(missing)}" if missing else f"leave {_listed(surplus)} out")
            )
        rows = next((len(by_name[name]) for name in names if name in by_name), 0)
        return [by_name[name] if name in by_name else np.full(rows, None, object) for name in names]
    if len(names) == 1:
        return values if isinstance(values, (list, tuple)) and _is_alone(values, inputs.shapes[0]) else [values]
    if not isinstance(values, (list, tuple)) or len(values) != len(names):
        got = f"{len(values)}" if isinstance(values, (list, tuple)) else f"one {type(values).__name__}"
        raise ValueError(
            f"x must be a dict or data frame with the columns {_listed(names)}, or a list of {len(names)}; got {got}"
        )
    return values


def _is_alone(values: Sequence[Any], shape: Shape) -> bool:
    """Whether a list holds the array of a single input, and not its rows."""
    return len(values) == 1 and len(getattr(values[0], "shape", ())) == len(shape) + 1


def _shaped(value: Any, dtype: str, name: str, shape: Shape, missing: Any) -> NDArray[Any]:
    known_as = f"x[{name!r}]"
    if missing is not None:
        value = filled(_as_array(value, known_as), missing)
    array = to_float32(value, known_as) if dtype == "float32" else _as_array(value, known_as)
    row = array.shape[1:]
    if array.ndim == 0 or (row or (1,)) not in input_forms(tuple(shape) or (1,)):
        raise ValueError(
            f"x[{name!r}] has rows of shape {row}, but the model's {tuple(shape)}; check the columns of the data"
        )
    return array.reshape(len(array), *shape)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
