"""The 1,797 handwritten digits, 8 x 8 pixels, that come with fastnn."""

from __future__ import annotations

from fastnn.data.digits import load_digits
from fastnn.datasets._split import check_split, cut, drawn
from fastnn.typing import Array


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x uint8 (rows, 64), pixels 0 .. 16; y uint8 (rows,), 0 .. 9.

    test_split: the share of the rows that is for the test, drawn by `seed`. Source: see
    ``fastnn.data.digits.load_digits``.
    """
    check_split(test_split)
    x, y = load_digits()
    (order,) = drawn(seed, len(x))
    return cut(x[order], y[order], test_split)
