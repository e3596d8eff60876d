"""The tables that come with fastnn: columns of numbers and texts in a compressed file."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np

from fastnn.typing import Array

MISSING = 2**16 - 1  # in a column of numbers


def columns_of(name: str, complete: Callable[[dict[str, Array]], None] | None = None) -> dict[str, Array]:
    """A table's columns in their order: float64, NaN where a number is missing; or texts, "" where one is.

    The file has "carat/100" for numbers of two decimals, kept as whole ones, in two rows of low and high bytes where
    they need both, and "cut" with "cut:texts" for texts. It is not compressed: a wheel is, and better as a whole than
    array by array. complete: makes whole numbers of columns that the file has what others do not tell of.
    """
    with files(__package__).joinpath(f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        kept = {key: whole(array) for key, array in arrays.items()}
    if complete is not None:
        complete(kept)
    columns: dict[str, Array] = {}
    for key, numbers in kept.items():
        column, _, divisor = key.partition("/")
        if f"{key}:texts" in kept:
            columns[column] = kept[f"{key}:texts"][numbers]
        elif not key.endswith(":texts"):
            columns[column] = np.where(numbers == MISSING, np.nan, numbers / int(divisor or 1))
    return columns


def whole(array: Array) -> Array:
    """An array of the file as int64; texts stay."""
    if array.dtype.kind == "U":
        return array
    numbers = array.astype(np.int64)
    return numbers if array.ndim == 1 else numbers[0] + 256 * numbers[1]


def frame_of(columns: dict[str, Array]) -> Any:
    """The columns as pandas' DataFrame, None for a text that is missing. ImportError where there is no pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError('a frame needs pandas: pip install "fastnn[pandas]"; load_columns() needs nothing') from error
    texts = {name: column for name, column in columns.items() if column.dtype.kind == "U"}
    whole = {name: [text or None for text in column.tolist()] for name, column in texts.items()}
    return pandas.DataFrame({**columns, **whole})
