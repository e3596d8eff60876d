"""Checks of what a call is given: a list, a flag, one of several texts. Each error names the argument."""

from __future__ import annotations

from itertools import islice
from types import NoneType
from typing import Any

from fastnn._table import shown

MOST_LISTED = 2**16  # a broadcast array may have any number of rows, which no memory holds as a list


def as_list(name: str, value: Any, what: str) -> list[Any]:
    """`value` as a list of `what`; TypeError, naming it, where it has no parts, ValueError where too many."""
    try:
        found = list(islice(value, MOST_LISTED + 1))
    except (TypeError, NotImplementedError):  # the second of a memoryview of several axes
        raise TypeError(f"{name} must be a list of {what}, got {shown(value)}") from None
    if len(found) > MOST_LISTED:
        raise ValueError(f"{name} must be a list of at most {MOST_LISTED:,} {what}")
    return found


def as_flag(name: str, value: Any) -> bool:
    """`value` as True or False, as `if` takes it; TypeError for what is neither, such as an array."""
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be True or False, got {shown(value)}") from None


def check_choice(owner: object, name: str, *known: str | None) -> None:
    """ValueError unless ``owner.name`` is one of the texts that it may be, or None where that is among them."""
    value = getattr(owner, name)
    if not isinstance(value, (str, NoneType)) or value not in known:
        texts = ", ".join(map(str, known))
        raise ValueError(f"{type(owner).__name__}: {name} must be one of {texts}, got {shown(value)}")
