"""The tables that come with fastnn: columns of numbers and texts in a compressed file."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

from fastnn.typing import Array

MISSING = 2**16 - 1  # in a column of numbers


def columns_of(name: str) -> dict[str, Array]:
    """A table's columns in their order: float64, NaN where a number is missing; or texts, "" where one is.

    The file has "carat/100" for numbers of two decimals, kept as whole ones, and "cut" with "cut:texts" for texts.
    """
    with files(__package__).joinpath(f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        columns: dict[str, Array] = {}
        for key in arrays.files:
            column, _, divisor = key.partition("/")
            if f"{key}:texts" in arrays:
                columns[column] = arrays[f"{key}:texts"][arrays[key]]
            elif not key.endswith(":texts"):
                values = arrays[key] / int(divisor or 1)
                columns[column] = np.where(arrays[key] == MISSING, np.nan, values)
        return columns


def frame_of(columns: dict[str, Array]) -> Any:
    """The columns as pandas' DataFrame, None for a text that is missing. ImportError where there is no pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError('a frame needs pandas: pip install "fastnn[pandas]"; load_columns() needs nothing') from error
    texts = {name: column for name, column in columns.items() if column.dtype.kind == "U"}
    whole = {name: [text or None for text in column.tolist()] for name, column in texts.items()}
    return pandas.DataFrame({**columns, **whole})
