"""The 1,797 handwritten digits that the examples, tests and benchmarks learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (x, y): x (1797, 64), pixels 0 .. 16 of 8 x 8 images, row by row; y (1797,), 0 .. 9.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; see DIGITS.md.
    """
    from importlib.resources import files

    with files(__package__).joinpath("digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return arrays["x"], arrays["y"]
