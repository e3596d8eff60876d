"""What readers of rows are told: names of columns, and what stands for NULL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names
from fastnn._checks import as_number, shown
from fastnn.databases.params import BYTES
from fastnn.databases.reader import listed

from .source import FLOAT32_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked_null(null: float | None) -> float | None:
    """Return `null` as a float that float32 can hold; TypeError or ValueError otherwise."""
    if null is None:
        return None
    try:
        if getattr(null, "shape", ()) != ():
            raise TypeError
        number = as_number("null", null)
    except TypeError:
        raise TypeError(f"null must be the number that stands for NULL, got {shown(null)}") from None
    if abs(number) > FLOAT32_MAX:
        raise ValueError(f"null must be NaN or within float32's range, got {shown(null)}")
    return number


def names_of(what: str, given: object) -> list[str]:
    """The names of columns that are given as a sequence; TypeError for what is none, or holds something else."""
    if not hasattr(type(given), "__iter__") or isinstance(given, BYTES) or getattr(given, "shape", None) == ():
        raise TypeError(f"{what} must be a sequence of names of columns, got {shown(given)}")
    names = []
    for place, name in enumerate(given):  # type: ignore[arg-type, var-annotated]
        if not isinstance(name, str):
            raise TypeError(f"{what} must be a sequence of names of columns, got {shown(name)} at place {place}")
        names.append(str(name))  # NumPy's texts show themselves otherwise
    return names


def check_known(what: str, chosen: Sequence[str], names: Sequence[str]) -> None:
    """ValueError for a name that no column of the query has, and for one that comes twice."""
    known, seen = set(names), set()
    for name in chosen:
        if name not in known:
            raise ValueError(
                f"unknown {what} {shown(name)}{_names.hint(name, names)}; the query's columns are {listed(names)}"
            )
        if name in seen:
            raise ValueError(f"{what} names the column {name!r} twice")
        seen.add(name)
