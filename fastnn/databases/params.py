"""Values that are bound to a query: as SQLite holds them, whatever Python or NumPy calls them.

sqlite3 itself binds whatever lends its memory as a blob, so a NumPy number or an array of JAX would match nothing; and
NaN as NULL.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastnn._checks import check_text, shown
from fastnn._numbers import refuse_masked

BYTES = (bytes, bytearray, memoryview)  # sequences of numbers, which are one value

Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None


def bindable(params: Params) -> tuple[Any, ...] | dict[str, Any]:
    """Return a copy of `params` whose values sqlite3 binds as what they are.

    NumPy's scalars and arrays of no axes are numbers, texts and times; bool is 0 or 1; Decimal and Fraction are whole
    numbers or floats; dates and times are texts in ISO 8601, "2026-01-31 12:00:00", as sqlite3 writes them. A type that
    the program has registered an adapter for is left to that. TypeError for what SQLite has no type for, ValueError for
    NaN, for a time that is none and for a whole number beyond 64 bits.
    """
    if isinstance(params, Mapping):
        return {check_text("a name in params", name): _bindable(value, f":{name}") for name, value in params.items()}
    if isinstance(params, np.ndarray) and params.ndim == 1:
        refuse_masked(params, "params")
        params = list(params)
    if params is not None and (isinstance(params, (str, *BYTES)) or not isinstance(params, Sequence)):
        raise TypeError(
            f"params must be a sequence or a mapping, got {shown(params)}; for one value, write [{shown(params)}]"
        )
    return tuple(_bindable(value, str(number)) for number, value in enumerate(params or (), 1))


def _bindable(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (str, *BYTES)):
        if isinstance(value, str):
            return check_text(f"parameter {name}", value, null=True)
        return value.item() if isinstance(value, np.generic) else value
    if _has_adapter(value):
        return value
    found = _of_numpy(value, name)
    if isinstance(found, datetime.date | datetime.time):  # a datetime is a date
        if found != found:
            raise _is_none(value, name)
        return found.isoformat(*([" "] if isinstance(found, datetime.datetime) else []))
    if isinstance(found, numbers.Number) and not isinstance(found, np.generic):
        return _number(found, value, name)
    if isinstance(found, str):  # of NumPy's array of no axes
        return check_text(f"parameter {name}", found, null=True)
    if isinstance(found, bytes):
        return found
    if type(value).__name__ in ("NAType", "NaTType"):
        raise _is_none(value, name)
    try:
        return memoryview(found)  # an array of the standard library's, as a blob
    except TypeError:
        raise TypeError(
            f"parameter {name} is {shown(value)}, a {type(value).__name__}; SQLite takes None, numbers, text, bytes, "
            "dates and times"
        ) from None


def _of_numpy(value: Any, name: str) -> Any:
    """Return what a scalar of NumPy's, or of whatever has arrays, stands for; anything else as it is."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return value
    refuse_masked(value, f"parameter {name}")
    if shape:
        raise TypeError(
            f"parameter {name} is an array of shape {shape}, where one value is expected; for a blob, pass its "
            "tobytes(); for a list, write a question mark for each value"
        )
    scalar = value[()] if isinstance(value, np.ndarray) else value
    if isinstance(scalar, np.datetime64):
        if np.isnat(scalar):
            raise _is_none(value, name)
        unit = np.datetime_data(scalar.dtype)[0]
        text = str(scalar.astype("M8[us]")) if scalar == scalar.astype("M8[us]") else str(scalar)
        text = str(scalar.astype("M8[D]")) if unit in ("Y", "M", "W", "D") else text.replace("T", " ")
        return text.removesuffix(".000000")
    if isinstance(scalar, np.timedelta64):
        raise TypeError(f"parameter {name} is a duration, {scalar}; pass a number, such as its seconds")
    if isinstance(scalar, np.floating):  # longdouble's item() is itself
        return float(scalar)
    return scalar.item() if hasattr(scalar, "item") else scalar


def _number(number: Any, given: Any, name: str) -> int | float:
    if isinstance(number, numbers.Integral):
        whole = int(number)
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f"parameter {name} is {shown(given)}, beyond the 64 bits of SQLite's whole numbers")
        return whole
    if isinstance(number, numbers.Complex) and not isinstance(number, numbers.Real):
        raise TypeError(f"parameter {name} is {shown(given)}, a complex number, which SQLite does not have")
    if number != number:
        raise _is_none(given, name)
    try:
        value = float(number)
    except OverflowError:
        raise ValueError(f"parameter {name} is {shown(given)}, beyond the range of SQLite's numbers") from None
    if isinstance(number, float):
        return value
    # An exact type: 5 is not to become 5.0, which is another text.
    return int(number) if abs(value) < 2**63 and number == int(number) else value


def _has_adapter(value: Any) -> bool:
    """Whether the program has said itself how sqlite3 shall bind values of this type."""
    import sqlite3

    if hasattr(value, "__conform__"):
        return True
    adapters: dict[Any, Any] = getattr(sqlite3, "adapters", {})
    adapter = adapters.get((type(value), sqlite3.PrepareProtocol))
    # Those of sqlite3 itself, for dates, do what is done here; and warn of it, from Python 3.12 on.
    return adapter is not None and getattr(adapter, "__module__", "") != "sqlite3.dbapi2"


def _is_none(value: Any, name: str) -> ValueError:
    return ValueError(
        f"parameter {name} is {shown(value)}, which SQLite would take for NULL; pass None if NULL is meant"
    )
