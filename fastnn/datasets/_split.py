"""Rows in an order that hangs on a seed alone, as Keras draws it, and cut into two parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.typing import Array


def drawn(seed: int, *counts: int) -> list[Array]:
    """The numbers of so many rows in Keras's order, that of its older generator; one after another."""
    rng = np.random.RandomState(seed)
    orders = [np.arange(count) for count in counts]
    for order in orders:
        rng.shuffle(order)
    return orders


def cut(x: Any, y: Any, test_split: float) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """((x_train, y_train), (x_test, y_test)): the last share of the rows is for the test. x may be a dict."""
    check_split(test_split)
    at = int(len(y) * (1 - test_split))
    if isinstance(x, dict):
        first, last = ({name: column[part] for name, column in x.items()} for part in (slice(at), slice(at, None)))
    else:
        first, last = x[:at], x[at:]
    return (first, y[:at]), (last, y[at:])


def check_split(test_split: object) -> None:
    """ValueError unless it is a share of the rows."""
    if not isinstance(test_split, (int, float)) or not 0 <= test_split < 1:
        raise ValueError(f"test_split must be 0 or more and below 1, got {test_split!r}")
