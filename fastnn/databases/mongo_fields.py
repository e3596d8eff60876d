"""Fields of MongoDB's documents: their names, and what is said of their values."""

from __future__ import annotations

import datetime
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MISSING = object()

# The bytes of an element in a vector of BSON's, by its kind.
_VECTORS = {0x03: 1, 0x27: 4}


def check_field(name: str, advice: str = "") -> None:
    """ValueError for a name by which MongoDB gives nothing."""
    if not all(name.split(".")) or "\0" in name or any(part.startswith("$") for part in name.split(".")):
        raise ValueError(
            f"MongoDB gives no field by the name {name!r}: it is empty between its dots, or begins with a $, or has a "
            f"null in it{advice}"
        )


def projected(fields: Sequence[str]) -> dict[str, int]:
    """What `find` gives of each document: these fields, and _id, by which errors call it."""
    roots = []
    for name in fields:
        first, *rest = name.split(".")
        roots.append((first, *takewhile(lambda part: not part.isdecimal(), rest)))  # of an array all or nothing
    known = set(roots) | {("_id",)}
    return {".".join(path): 1 for path in sorted(known) if not any(path[:n] in known for n in range(1, len(path)))}


def decimal_of(content: bytes, exact: bool) -> float | None:
    """A Decimal128 as float32; None where that does not hold it, or not exactly one that is whole, with ``exact``."""
    from bson import Decimal128

    value = Decimal128.from_bid(content).to_decimal()
    with np.errstate(over="ignore"):
        # Infinite where it is beyond float64; a signalling NaN is one of Decimal's own.
        kept = float(np.float32("nan" if value.is_nan() else float(value)))
    whole = exact and value.is_finite() and value == value.to_integral_value()
    if (np.isinf(kept) and value.is_finite()) or (whole and Decimal(kept) != value):
        return None
    return kept


def nodes_of(
    numbers: Sequence[str], others: Sequence[str], vectors: Mapping[str, int]
) -> list[tuple[str, int, int, int, int, int, int]]:
    """The names within names, for ``BSONRows``."""
    paths: list[tuple[str, ...]] = [()]
    within: dict[tuple[str, ...], dict[tuple[str, ...], None]] = {(): {}}
    for name in (*numbers, *others):
        parts = tuple(name.split("."))
        for depth in range(len(parts)):
            within[parts[:depth]][parts[: depth + 1]] = None
            within.setdefault(parts[: depth + 1], {})
    for path in paths:  # which grows: the names within one follow one another
        paths.extend(within[path])
    slots = {name: place for place, name in enumerate(numbers)}
    places = {name: place for place, name in enumerate(others)}
    nodes, first = [], 1
    for path in paths:
        name, last = ".".join(path), path[-1] if path else ""
        index = int(last) if last.isdecimal() and len(last) < 9 else -1
        slot, other = (slots.get(name, -1), places.get(name, -1)) if path else (-1, -1)
        nodes.append((last, first, len(within[path]), slot, other, index, vectors.get(name, -1)))
        first += len(within[path])
    return nodes


def value_at(document: Any, name: str) -> Any:
    """What a document has by a dotted name; MISSING where it has nothing."""
    for part in name.split("."):
        if isinstance(document, dict):
            document = document.get(part, MISSING)
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return MISSING
    return document


def vector_length(value: Any) -> int | None:
    """The numbers of a vector as BSON has it; None for what is none."""
    if getattr(value, "subtype", None) != 9 or len(value) < 2 or value[0] not in _VECTORS:
        return None
    length, rest = divmod(len(value) - 2, _VECTORS[value[0]])
    return None if rest else length


def reason(value: Any, name: str, is_target: bool, may_be_number: bool) -> tuple[str, str]:
    """Why the value of a field is no number, or not that which float32 would keep; what to do."""
    if value is None or value is MISSING:
        what = "is missing" if value is MISSING else "is null"
        left_out = f"leave such documents out with the filter {{{name!r}: {{'$ne': None}}}}"
        return what, left_out if is_target else f"pass null=<number> to replace it, or {left_out}"
    elsewhere = "leave the field out, or make it a number in a pipeline, with "
    if isinstance(value, str):
        return f"holds text ({shown(value)})", f"{elsewhere}$convert"
    if isinstance(value, bytes):
        return "holds binary data", "leave the field out; a vector is bson.Binary.from_vector(...) of FLOAT32 or INT8"
    if isinstance(value, datetime.datetime):
        return f"holds a date ({value})", f"{elsewhere}$dateDiff or $dayOfWeek"
    if isinstance(value, (list, dict)):
        kind = "an array" if isinstance(value, list) else "a document"
        return f"holds {kind}", "name what is in it, with a dot, or leave the field out"
    number = value.to_decimal() if type(value).__name__ == "Decimal128" else value
    if may_be_number and (isinstance(number, (int, float)) or number is not value):
        if abs(number) <= float(np.finfo(np.float32).max):
            return (
                f"is the target and holds the whole number {number}, which float32 cannot hold exactly",
                "number the classes from 0, or $convert it to a double in a pipeline if rounding is meant",
            )
        return f"holds {number}, beyond float32's range of ±3.4e38", f"{elsewhere}$divide"
    return f"holds a {type(value).__name__}", f"{elsewhere}$convert"
