"""California Housing: 20,640 places with 8 features, and the median price of a house."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.datasets._split import check_split, cut, drawn
from fastnn.typing import Array

FILE = DataFile(
    "california_housing.npz",
    KERAS + "california_housing.npz",
    "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
)


def load_data(
    version: Literal["large", "small"] = "large",
    path: str | os.PathLike[str] = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
    *,
    download: bool = False,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x (rows, 8), y (rows,), dollars.

    x: longitude, latitude, age, rooms, bedrooms, people, households, median income. version: "large" has 20,640 rows,
    "small" the first 600. path, download: as ``mnist.load_data``; where the file is not here, what scikit-learn has
    fetched serves, whose rows are the same in an order of their own. test_split, seed: as
    ``boston_housing.load_data``.
    """
    check_split(test_split)
    if version not in ("large", "small"):
        raise ValueError(f"version must be 'large' or 'small', got {version!r}")
    try:
        with np.load(found(FILE, path, download), allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except FileNotFoundError:
        fetched = _of_sklearn()
        if fetched is None:
            raise
        x, y = fetched
    if version == "small":
        x, y = x[:600], y[:600]
    (order,) = drawn(seed, len(x))
    return cut(x[order], y[order], test_split)


def _of_sklearn() -> tuple[Array, Array] | None:
    """What scikit-learn has in its cache, with Keras's columns; None where it has nothing."""
    try:
        from sklearn.datasets import fetch_california_housing

        columns, price = fetch_california_housing(return_X_y=True, download_if_missing=False)
    except (ImportError, OSError):
        return None
    income, age, rooms, bedrooms, people, occupants, latitude, longitude = columns.T
    households = np.rint(people / occupants)  # its rooms, bedrooms and people are those of a household
    counts = [np.rint(rooms * households), np.rint(bedrooms * households), people, households]
    x = np.stack([longitude, latitude, age, *counts, income], axis=1)
    return x.astype(np.float32), (price * 100_000).astype(np.float32)
