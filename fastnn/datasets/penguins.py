"""Palmer's penguins: 344 of three species, with columns of numbers and of texts, in which some are missing.

Source: Gorman, Williams and Fraser 2014, https://doi.org/10.1371/journal.pone.0090081, CC0; see TABLES.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.datasets._split import check_split, cut, drawn
from fastnn.datasets._tables import columns_of, frame_of
from fastnn.typing import Array

Part = tuple[dict[str, Array], Array]


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Part, Part]:
    """Give (x_train, y_train), (x_test, y_test): x a dict of columns, y the number of the species, 0 .. 2.

    Columns: island and sex, texts, "" where it is missing; bill_length_mm, bill_depth_mm, flipper_length_mm,
    body_mass_g and year, float64, NaN where it is missing. test_split: the share of the rows that is for the test,
    drawn by `seed`.
    """
    check_split(test_split)
    columns = load_columns()
    (order,) = drawn(seed, len(columns["species"]))
    y = np.unique(columns.pop("species"), return_inverse=True)[1]
    return cut({name: column[order] for name, column in columns.items()}, y[order], test_split)


def get_label_names() -> tuple[str, ...]:
    """The species 0 .. 2."""
    return ("Adelie", "Chinstrap", "Gentoo")


def load_columns() -> dict[str, Array]:
    """The whole table as a dict of columns, species first, in the order of its rows."""
    return columns_of("penguins")


def load_frame() -> Any:
    """The whole table as pandas' DataFrame, None or NaN where something is missing. ImportError without pandas."""
    return frame_of(load_columns())
