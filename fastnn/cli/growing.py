"""The rows that came since a model was trained, by the last key, which the model remembers.

A key is kept as a text beside its type, so that the database compares it as what it was.
"""

from __future__ import annotations

import argparse
import datetime
import decimal
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
    if kind not in TYPES or last != last or last in (float("inf"), -float("inf")):
        return {}
    return {"last": last.hex() if kind == "bytes" else str(last), "last_type": kind}


def rows_since(data: SQLDataset, options: argparse.Namespace, known: dict[str, Any]) -> Any:
    """The rows whose key is greater than what --since says, up to the largest key, their `last`; all without --since.

    known: what the model notes. Raises ValueError where its last key is not known, or is of another type than the keys.
    """
    key = options.key
    if options.since is None:
        return _all(data, key)
    if options.since == LAST:
        text, kind = known.get("last"), str(known.get("last_type"))
        if text is None:
            raise ValueError(f"{options.out} does not know the last {key} that it was trained on; say --since VALUE")
    else:
        text, kind = options.since, noted(data.since(None).last).get("last_type", "str")
    try:
        value = TYPES[kind](text)
    except (KeyError, TypeError, ValueError, decimal.InvalidOperation) as error:
        raise ValueError(f"--since must be a value of the key {key!r}, of the type {kind}, got {text!r}") from error
    rows = data.since(value)
    newest = data.since(None).last if rows.last == value else rows.last
    if newest is not None and _kind(newest) != _kind(value):
        raise ValueError(
            f"the key {key!r} is now of the type {type(newest).__name__}, {newest!r}, and {value!r} was of the type "
            f"{kind}, so that they cannot be compared; CAST it in the query"
        )
    return rows


def _all(data: SQLDataset, key: str | None) -> Any:
    if key is None:
        return data
    try:
        rows = data.since(None)
    except ValueError as error:
        rows, why = data, str(error)
    else:
        why = f"it is {rows.last!r}"
    if rows.last is None or not noted(rows.last):
        say(f"the last {key} is not kept in the model, so --since last will not do: {why}")
    return rows


def _kind(value: Any) -> str:
    kind = type(value).__name__
    return "number" if kind in ("int", "float") else kind
