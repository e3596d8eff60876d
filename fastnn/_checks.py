"""Checks of what a call is given: a number, a list, a flag, one of several texts. Each error names the argument."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Mapping
from itertools import islice
from types import NoneType
from typing import Any

MOST_LISTED = 2**16  # a broadcast array may have any number of rows, which no memory holds as a list
SEEDS = 2**128 - 1  # what NumPy's own seeds have at most
MOST = 2**31 - 1  # of a count that is told to the engine
LONGEST = 2**63 - 1  # of any other: what a number of eight bytes holds


def shown(value: object) -> str:
    """`value` as an error tells it: short, whatever it is, and in little time."""
    if isinstance(value, (list, tuple, dict, str, bytes)) and len(value) > 80:
        cut = (
            dict(islice(value.items(), 8)) if isinstance(value, dict) else value[: 80 if value[:0] in ("", b"") else 8]
        )
        return f"{shown(cut)} and more, {len(value):,} in all"
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits has no text, and a user's own class may have none either
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)  # where an object lies says nothing, and is another place each time
    return text if len(text) <= 200 else f"{text[:180]}..."


def as_list(name: str, value: Any, what: str) -> list[Any]:
    """`value` as a list of `what`; TypeError, naming it, where it has no parts, ValueError where too many."""
    try:
        found = list(islice(value, MOST_LISTED + 1))
    except (TypeError, NotImplementedError):  # the second of a memoryview of several axes
        raise TypeError(f"{name} must be a list of {what}, got {shown(value)}") from None
    if len(found) > MOST_LISTED:
        raise ValueError(f"{name} must be a list of at most {MOST_LISTED:,} {what}")
    return found


def as_arguments(owner: str, config: Any) -> dict[str, Any]:
    """A copy of `config`, which ``owner.from_config`` was given. TypeError for what is no dict of names."""
    if isinstance(config, Mapping) and all(isinstance(name, str) for name in config):
        return dict(config)
    odd = [name for name in config if not isinstance(name, str)] if isinstance(config, Mapping) else []
    key = f", whose key {shown(odd[0])} is no argument's name" if odd else ""
    raise TypeError(f"{owner}.from_config takes the dict that get_config gives, got {shown(config)}{key}")


def as_flag(name: str, value: Any) -> bool:
    """`value` as True or False, as `if` takes it; TypeError for what is neither, such as an array."""
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be True or False, got {shown(value)}") from None


def as_number(name: str, value: Any) -> float:
    """`value` as a float, infinite where it is beyond all of them; TypeError, naming it, where it is no number."""
    if isinstance(value, (str, bytes)) or value is None or type(value).__name__ == "MaskedConstant":
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:  # an int of hundreds of digits
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None


def check_number(
    owner: object,
    name: str,
    low: float,
    high: float = float("inf"),
    *,
    open_low: bool = False,
    open_high: bool = False,
    also: str = "",
) -> None:
    """Raise unless ``owner.name`` is a number from `low` to `high` (either end left out where it is open).

    also: Keras's words for it, which a search finds.

    A Decimal, Fraction or longdouble, or an int of more than eight bytes, becomes a float, which all can work with.
    """
    value = getattr(owner, name)
    if type(value) is float and low < value < high:
        return
    kind = type(owner).__name__
    number = as_number(f"{kind}: {name}", value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (above and below) or number == math.inf:
        ends = f"{'above' if open_low else 'at least'} {low:g}"
        if high != math.inf:
            ends += f" and {'below' if open_high else 'at most'} {high:g}"
        raise ValueError(f"{kind}: {name} must be {ends}, got {shown(value)}{_also(also)}")
    held = value.tolist() if hasattr(value, "tolist") else value  # a longdouble stays one
    if not isinstance(held, (int, float)) or abs(held) > LONGEST:
        object.__setattr__(owner, name, number)


def written(value: object) -> str:
    """`value` as Keras's errors tell it: a text without its quotes, short."""
    return value[:80] if isinstance(value, str) else shown(value)


def _also(words: str) -> str:
    return f" ({words})" if words else ""


def check_count(name: str, value: Any, least: int = 1, most: int = LONGEST, also: str = "") -> int:
    """`value` as a whole number of `least` to `most`; TypeError or ValueError, naming it, where it is none.

    also: as in `check_number`.
    """
    if type(value) is int and least <= value <= most:
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {shown(value)}{_also(also)}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(number)}{_also(also)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most:,}, got {shown(number)}")
    return number


def optional_count(name: str, value: Any) -> int | None:
    """The same, or None."""
    return None if value is None else check_count(name, value)


def check_batch_size(value: object) -> int:
    """A batch_size: any whole number from 1, as far as sums of two are numbers in C; all rows where it is more."""
    return check_count("batch_size", value, most=2**62)


def check_flag(owner: object, name: str) -> None:
    """Raise unless ``owner.name`` is True or False (0 and 1 too, and NumPy's)."""
    value = getattr(owner, name)
    if type(value).__name__ not in ("bool", "bool_", "int") or value not in (False, True):
        raise TypeError(f"{type(owner).__name__}: {name} must be True or False, got {shown(value)}")


def check_choice(owner: object, name: str, *known: str | None, also: str = "") -> None:
    """ValueError unless ``owner.name`` is one of the texts that it may be, or None where that is among them.

    also: as in `check_number`.
    """
    value = getattr(owner, name)
    if not isinstance(value, (str, NoneType)) or value not in known:
        texts = ", ".join(map(str, known))
        raise ValueError(f"{type(owner).__name__}: {name} must be one of {texts}, got {shown(value)}{_also(also)}")


def check_name(owner: object, name: object) -> None:
    """TypeError unless the name of a unit is a text or None."""
    if not isinstance(name, (str, NoneType)):
        kind = type(owner).__name__
        raise TypeError(f"{kind}: name must be a text, got {shown(name)}; pass what else it takes by keyword")


def check_text(name: str, value: Any, *, null: bool = False) -> str:
    """`value` as a text that can be written anywhere; TypeError where it is none, ValueError where it is no Unicode.

    null: whether a null character may be in it.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} must be Unicode text, got half a character, {value[error.start]!r}, at place {error.start} of "
            f"{shown(value)}"
        ) from None
    if "\0" in value and not null:
        raise ValueError(f"{name} must be a text without a null character, got {shown(value)}")
    return str(value)


def check_path(name: str, value: Any) -> str:
    """`value` as the text of a path; TypeError where it is none, ValueError where no file can have it."""
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name} must be a path, got {shown(value)}") from None
    try:
        os.fsencode(path)  # a lone surrogate has no bytes
    except UnicodeEncodeError:
        path = ""
    if not path or "\0" in path:
        raise ValueError(f"{name} must be a path, got {shown(value)}")
    return path
