"""The rows that came since a model was trained, by the last key, which it notes as a text beside its type."""

from __future__ import annotations

import argparse
import datetime
import decimal
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnn.cli.output import say

if TYPE_CHECKING:
    from fastnn.data import SQLDataset

LAST = "last"  # what --since says for the key in the model
TYPES: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes.fromhex,
    "Decimal": decimal.Decimal,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
}


def noted(last: Any) -> dict[str, str]:
    """What a model notes of a key: nothing where it could not be compared when it is read again."""
    kind = type(last).__name__
    if kind not in TYPES or (kind in ("float", "Decimal") and not math.isfinite(last)):
        return {}
    return {"last": last.hex() if kind == "bytes" else str(last), "last_type": kind}


def rows_since(data: SQLDataset, options: argparse.Namespace, known: dict[str, Any]) -> Any:
    """The rows whose key is greater than what --since says, by default all, up to the largest key, their `last`.

    known: what the model notes. ValueError where its last key is not known, or the keys are of another type.
    """
    key, since = options.key, options.since
    if key is None:
        return data
    if since is None:
        try:
            rows = data.since(None)
            why: Any = repr(rows.last)
        except ValueError as error:
            rows, why = data, error
        if not noted(rows.last):
            say(f"the last {key} is not kept in the model, so --since last will not do: {why}")
        return rows
    if since == LAST:
        since, kind = known.get("last"), known.get("last_type", "")
        if since is None:
            raise ValueError(f"{options.out} does not know the last {key} that it was trained on; say --since VALUE")
    else:
        kind = noted(data.since(None).last).get("last_type", "str")
    try:
        value = TYPES[kind](since)
    except (KeyError, TypeError, ValueError, decimal.InvalidOperation) as error:
        raise ValueError(f"--since must be a value of the key {key!r}, of the type {kind}, got {since!r}") from error
    rows = data.since(value)
    newest = data.since(None).last if rows.last == value else rows.last
    came = type(newest).__name__
    if newest is not None and came != kind and {came, kind} != {"int", "float"}:
        raise ValueError(
            f"the key {key!r} is now of the type {came}, {newest!r}, and {value!r} was of the type {kind}, so that "
            "they cannot be compared; CAST it in the query"
        )
    return rows
