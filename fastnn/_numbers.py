"""Whatever holds numbers as an array of them, in one place, with an error that names the place of what is none.

What is given to fastnn as an array comes through here: a mask, an object, a text or a time is never read as a number.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# float32 holds every whole number up to here.
EXACT = 2**24
MOST_AXES = 64  # of an array

_TEXT = "turn each text into a number first, e.g. with np.unique(..., return_inverse=True)"
# Of a target that holds labels.
LABELS = (
    "number the classes first: classes, y = np.unique(y, return_inverse=True), or layers.StringLookup; classes[number] "
    "is the label again"
)
_HINTS = {
    "c": "give the real and the imaginary part as two features",
    **dict.fromkeys("UST", _TEXT),
    "M": "turn times into numbers first, e.g. the seconds since a date",
    "m": "turn durations into numbers first, e.g. seconds",
}


def as_numbers(value: ArrayLike, name: str) -> NDArray[Any]:
    """Return `value` as an array of numbers (bool, integer or float) of any shape; objects that are numbers as float64.

    value: an array, list, number, tensor, or anything with `__array__`, `__dlpack__` or the buffer protocol. TypeError
    for what is not numbers, ValueError for masked values and rows of different lengths; the message calls it `name`.
    """
    if type(value) is np.ndarray and value.dtype.kind == "f":
        return value
    array = _any_numbers(value, name)
    return from_objects(array, name) if array.dtype.kind == "O" else array


def tuple_of_numbers(value: ArrayLike, name: str) -> tuple[float, ...]:
    """Return one number or several as a tuple; raises as ``as_numbers``."""
    return tuple(as_numbers(value, name).ravel().tolist())


def numeric(value: ArrayLike, name: str) -> NDArray[Any]:
    """Return `value` as an array of numbers, or of objects, with at least one dimension."""
    return _any_numbers(value, name, True)


def _any_numbers(value: Any, name: str, rows: bool = False) -> NDArray[Any]:
    refuse_masked(value, name)
    array = value if type(value) is np.ndarray else _as_array(value, name)
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}; {advice(value)}")
    if rows and array.ndim == 0:
        raise TypeError(
            f"{name} must be an array with one entry for each row, got {type(value).__name__}; {advice(value)}"
        )
    if array.dtype.kind not in "biufO":
        if array.dtype.name == "bfloat16":  # of ml_dtypes, which JAX brings
            return array.astype(np.float32)
        raise not_numbers(array.dtype, name)
    return array


def refuse_masked(value: Any, name: str) -> None:
    """ValueError, with the place, where `value` is or holds a masked array with masked values."""
    # np.asarray drops a mask without a word. Only a program that has imported numpy.ma can have one.
    ma = sys.modules.get("numpy.ma")
    where = None if ma is None else _first_masked(value, ma)
    if where is not None:
        raise ValueError(
            f"{name} has a masked value{where}; fill masked values first, e.g. with .filled(0), or leave these rows out"
        )


def _first_masked(value: Any, ma: Any, axes: int = 0) -> str | None:
    """Where the first masked value is; None where there is none, and of lists too deep for an array."""
    if isinstance(value, ma.MaskedArray):
        if value.mask is ma.nomask:
            return None
        mask = np.asarray(value.mask)
        if mask.dtype.names:  # a mask for each field
            mask = np.ascontiguousarray(mask).view(bool).reshape(*mask.shape, -1)
        return _at(mask, int(mask.argmax())) if mask.any() else None
    if isinstance(value, (list, tuple)) and axes <= MOST_AXES:
        nested = (ma.MaskedArray, list, tuple)
        if any(issubclass(kind, nested) for kind in set(map(type, value))):
            for row, part in enumerate(value):
                if isinstance(part, nested) and (where := _first_masked(part, ma, axes + 1)) is not None:
                    return f" at row {row}{where.replace(' at row', ', column', 1)}"
    return None


def is_target(name: str) -> bool:
    """Whether what an error calls so is a target: "y", "column 'a' of y", "validation_data: y_true", "y['a']"."""
    last = name.replace(":", " ").split()[-1]
    return last == "y" or last.startswith(("y_true", "y["))


def not_numbers(dtype: Any, name: str) -> TypeError:
    """Say that `name` has a dtype (NumPy's, or one with its `kind`) that holds no numbers."""
    hint = _HINTS.get(dtype.kind, f"convert it first, e.g. {name}.astype('float32')")
    if hint is _TEXT and is_target(name):
        hint = LABELS
    if getattr(dtype, "names", None):
        hint = "give its fields as the columns of one array"
    return TypeError(f"{name} must hold numbers, got dtype {dtype}; {hint}")


def _as_array(value: Any, name: str) -> NDArray[Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = _cpu_tensor(value, name)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except ValueError as error:
        text = str(error)
        if "inhomogeneous" in text:
            text = "its parts are of different lengths"
        elif "maximum number of dimension" in text:
            text = f"it is nested deeper than {MOST_AXES} axes, or holds itself"
        raise ValueError(f"{name} is no array with rows of one length: {text}") from error
    except (BufferError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name} cannot be read as an array ({type(value).__name__}: {error}); convert it to a NumPy array first"
        ) from error


def _cpu_tensor(tensor: Any, name: str) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} lies on the device {tensor.device}, but must be in main memory; pass {name}.cpu()")
    tensor = tensor.detach()
    # NumPy has no such type; float32 holds all its numbers.
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def advice(value: object) -> str:
    """What to do in place of giving `value`."""
    for method in ("collect", "compute", "toarray"):  # polars and PySpark, dask, scipy.sparse
        if hasattr(value, method):
            return f"call its {method}() first"
    if isinstance(value, Mapping):  # an NpzFile, a file of h5py, a DatasetDict
        return f"give one of its arrays: {', '.join(repr(key) for key in list(value)[:8]) or 'it has none'}"
    return "give a NumPy array, a list, a data frame or a tensor"


def from_objects(array: NDArray[Any], name: str, first: int = 0) -> NDArray[np.float64]:
    """Return an array of objects as float64; TypeError where one is no number, ValueError where it is too large."""
    values = np.empty(array.size)
    for i, value in enumerate(array.flat):
        if not _is_number(value):
            hint = LABELS if isinstance(value, (str, bytes)) and is_target(name) else "fill or convert it first"
            raise TypeError(
                f"{name} must hold numbers, got {type(value).__name__} {_short(value)}{_at(array, i, first)}; {hint}"
            )
        try:
            values[i] = float(value)
        except (OverflowError, ValueError):  # a signalling NaN of Decimal's is the second
            raise _beyond_range(array, i, name, first) from None
        if np.isinf(values[i]) and abs(value) != float("inf"):  # which float makes of a large Decimal
            raise _beyond_range(array, i, name, first)
    return values.reshape(array.shape)


def _is_number(value: object) -> bool:
    # Python's Decimal is a Number, but neither Real nor Complex.
    return isinstance(value, numbers.Real | np.bool_) or (
        isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex)
    )


def converted(array: NDArray[Any], name: str, columns: tuple[str, ...] = (), first: int = 0) -> NDArray[np.float32]:
    """Return what `numeric` gave as float32; messages use the names of its columns where there are any."""
    if array.dtype.kind == "O":
        array = from_objects(array, name, first)
    try:
        with np.errstate(all="ignore", over="raise"):
            return np.require(array, np.float32, ["C", "A"])
    except FloatingPointError:
        with np.errstate(all="ignore"):
            lost = np.isinf(array.astype(np.float32)) & np.isfinite(array)
        raise _beyond_range(array, int(np.flatnonzero(lost)[0]), name, first, columns) from None


def _beyond_range(array: NDArray[Any], i: int, name: str, first: int, columns: tuple[str, ...] = ()) -> ValueError:
    return ValueError(
        f"{name} holds {_short(array.flat[i])}{_at(array, i, first, columns)}, beyond float32's range "
        f"of ±3.4e38; scale {name} first"
    )


def check_exact(array: NDArray[Any], name: str, first: int = 0, columns: tuple[str, ...] = ()) -> None:
    """Refuse whole numbers that float32 would round: two labels must not become one."""
    if array.dtype.kind == "O":
        wide = [i for i, value in enumerate(array.flat) if _is_wide(value)]
    elif array.dtype.kind in "iu" and array.size:
        if array.max() <= EXACT and array.min() >= -EXACT:
            return
        wide = np.flatnonzero((array > EXACT) | (array < -EXACT)).tolist()
    else:
        return
    for i in wide:
        value = int(array.flat[i])
        # Above float32's range it is refused as such.
        if abs(value) < 2**128 and int(np.float32(value)) != value:
            raise ValueError(
                f"{name} holds the whole number {value}{_at(array, i, first, columns)}, which float32 "
                f"cannot hold exactly; number the classes from 0, or give {name} as floats if "
                "rounding is meant"
            )


def _is_wide(value: object) -> bool:
    """Whether an object is a whole number beyond EXACT; a float is not, since with one rounding is meant."""
    if not _is_number(value) or isinstance(value, float | np.floating):
        return False
    number: Any = value
    try:
        return bool(abs(number) > EXACT and number == int(number))
    except (ArithmeticError, ValueError):  # Decimal's NaN and infinity
        return False


def _at(array: NDArray[Any], i: int, first: int = 0, columns: tuple[str, ...] = ()) -> str:
    """Where number i of the array is, for a message; nothing where it is alone."""
    if array.ndim == 0:
        return ""
    row, column = divmod(i, array.size // len(array))
    if array.ndim == 1:
        return f" at row {first + row}"
    return f" at row {first + row}, column {repr(columns[column]) if columns else column}"


def _short(value: object) -> str:
    text = shown(value) if not isinstance(value, np.generic) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
