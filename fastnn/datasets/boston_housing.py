"""Boston Housing: 506 places with 13 features, and the median price of a house. Its column B is of doubtful taste."""

from __future__ import annotations

import os

import numpy as np

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.datasets._split import check_split, cut, drawn
from fastnn.typing import Array

FILE = DataFile(
    "boston_housing.npz",
    KERAS + "boston_housing.npz",
    "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
)


def load_data(
    path: str | os.PathLike[str] = "boston_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
    *,
    download: bool = False,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x float64 (rows, 13), y float64 (rows,), thousands of dollars.

    path, download: as ``mnist.load_data``. test_split: the share of the rows that is for the test, drawn by `seed` as
    Keras draws it.
    """
    check_split(test_split)
    with np.load(found(FILE, path, download), allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    (order,) = drawn(seed, len(x))
    return cut(x[order], y[order], test_split)
