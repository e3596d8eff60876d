"""Diamonds: 2,569 of them, with columns of numbers and of texts, and their price.

Source: every 21st row of ggplot2's table, https://ggplot2.tidyverse.org/reference/diamonds.html, MIT; see TABLES.md.
"""

from __future__ import annotations

from typing import Any

from fastnn.datasets._split import check_split, cut, drawn
from fastnn.datasets._tables import columns_of, frame_of
from fastnn.typing import Array

Part = tuple[dict[str, Array], Array]


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Part, Part]:
    """Give (x_train, y_train), (x_test, y_test): x a dict of columns, y the price in dollars, float64.

    Columns: cut, color and clarity, texts; carat, depth, table, x, y and z, float64. test_split: the share of the rows
    that is for the test, drawn by `seed`.
    """
    check_split(test_split)
    columns = load_columns()
    price = columns.pop("price")
    (order,) = drawn(seed, len(price))
    return cut({name: column[order] for name, column in columns.items()}, price[order], test_split)


def load_columns() -> dict[str, Array]:
    """The whole table as a dict of columns, in the order of its rows."""
    return columns_of("diamonds", _complete)


def _complete(kept: dict[str, Array]) -> None:
    """Make whole numbers of what the file has, in 2/3 of the bytes: prices by their steps, and of depth, y, z and carat
    the difference from what is likely, y being as x, z depth's share of the mean of both, carat 0.0061 of the volume.
    """
    x, y, z = (kept[f"{name}/100"] for name in "xyz")
    kept["price"] = kept["price"].cumsum() % 2**16
    kept["depth/10"] += 617
    y += x
    z += (kept["depth/10"] * (x + y) + 1000) // 2000
    kept["carat/100"] += (61 * x * y * z + 5 * 10**7) // 10**8


def load_frame() -> Any:
    """The whole table as pandas' DataFrame. ImportError without pandas."""
    return frame_of(load_columns())
