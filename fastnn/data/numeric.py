"""Arrays of any numbers as float32, with an error that names the place of what cannot be."""

from __future__ import annotations

import numbers
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
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


def numeric(value: ArrayLike, name: str) -> NDArray[Any]:
    """Return `value` as an array of numbers, or of objects, with at least one dimension."""
    # np.asarray drops a mask without a word. Only a program that has imported numpy.ma can have one.
    ma = sys.modules.get("numpy.ma")
    if ma is not None and ma.is_masked(value):
        raise ValueError(f"{name} has masked values; fill them first, e.g. with {name}.filled(0)")
    array = value if type(value) is np.ndarray else _as_array(value, name)
    if array.ndim == 0:
        raise TypeError(
            f"{name} must be an array with one entry for each row, got {type(value).__name__}; {_advice(value)}"
        )
    if array.dtype.kind not in "biufO":
        if array.dtype.name == "bfloat16":  # of ml_dtypes, which JAX brings
            return array.astype(np.float32)
        raise not_numbers(array.dtype, name)
    return array


def not_numbers(dtype: Any, name: str) -> TypeError:
    """Say that `name` has a dtype (NumPy's, or one with its `kind`) that holds no numbers."""
    hint = _HINTS.get(dtype.kind, f"convert it first, e.g. {name}.astype('float32')")
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
        raise ValueError(f"{name} is no array with rows of one length; NumPy: {error}") from error
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


def _advice(value: object) -> str:
    for method in ("collect", "compute", "toarray"):  # polars and PySpark, dask, scipy.sparse
        if hasattr(value, method):
            return f"call its {method}() first"
    return "give a NumPy array, a list, a data frame or a tensor"


def from_objects(array: NDArray[Any], name: str, first: int = 0) -> NDArray[np.float64]:
    """Return an array of objects as float64; TypeError where one is no number."""
    values = np.empty(array.size)
    for i, value in enumerate(array.flat):
        # Python's Decimal is a Number, but neither Real nor Complex.
        number = isinstance(value, numbers.Real | np.bool_) or (
            isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex)
        )
        if not number:
            raise TypeError(
                f"{name} must hold numbers, got {type(value).__name__} {_short(value)} at "
                f"{_place(array, i, first)}; fill or convert it first"
            )
        try:
            values[i] = float(value)
        except OverflowError:
            raise _beyond_range(array, i, name, first) from None
    return values.reshape(array.shape)


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
        f"{name} holds {_short(array.flat[i])} at {_place(array, i, first, columns)}, beyond float32's range "
        f"of ±3.4e38; scale {name} first"
    )


def check_exact(array: NDArray[Any], name: str, first: int = 0, columns: tuple[str, ...] = ()) -> None:
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
                f"{name} holds the whole number {value} at {_place(array, i, first, columns)}, which float32 "
                f"cannot hold exactly; number the classes from 0, or give {name} as floats if "
                "rounding is meant"
            )


def _place(array: NDArray[Any], i: int, first: int, columns: tuple[str, ...] = ()) -> str:
    row, column = divmod(i, array.size // len(array))
    if array.ndim == 1:
        return f"row {first + row}"
    return f"row {first + row}, column {repr(columns[column]) if columns else column}"


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, np.generic) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
