"""What the kernel tests share: sizes, buffers that notice a stray write or read, and errors counted in ulps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Nothing, one, a vector's width less one, itself and one more for each width there is (4, 8, 16), and many vectors.
SIZES = [0, 1, 3, 7, 8, 9, 15, 16, 17, 64, 65, 1000]
# (rows, units) for the kernels that go row by row.
SHAPES = [(0, 3), (1, 1), (3, 1), (1, 7), (2, 8), (5, 9), (3, 15), (2, 16), (4, 17), (3, 64), (2, 65), (2, 1000)]
DTYPES = ["float32", "float64"]

Guard = Callable[..., np.ndarray]

# An odd number of elements: a view behind it starts on no vector's boundary.
ZONE = 37


class Guarded:
    """`view`: a copy of an array in the middle of a larger buffer of NaN, which `check` finds untouched.

    A kernel that writes beside the view changes the buffer's bits; one that reads there carries a NaN into its result.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.buffer = np.full(array.size + 2 * ZONE, np.nan, array.dtype)
        self.view = self.buffer[ZONE : ZONE + array.size].reshape(array.shape)
        self.view[...] = array
        self.before = self.zones()

    def zones(self) -> bytes:
        return self.buffer[:ZONE].tobytes() + self.buffer[-ZONE:].tobytes()

    def check(self) -> None:
        assert self.zones() == self.before, "a kernel wrote beside its buffer"


left_out: list[str] = []  # what a test was to call and is not compiled; it is skipped then


@contextmanager
def guards() -> Iterator[Guard]:
    """Gives `guard(array, dtype=None)`: a guarded copy's view. At the end every buffer made is checked."""
    made: list[Guarded] = []

    def guard(array: Any, dtype: Any = None) -> np.ndarray:
        made.append(Guarded(np.asarray(array, dtype)))
        return made[-1].view

    left_out.clear()
    yield guard
    assert made or left_out, "nothing was guarded"
    for one in made:
        one.check()


def ulps(got: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each float32 `got` from the float64 `truth`, in units of the float32 spacing where the truth lies.

    Infinity counts as 2^128, the float that would come next. Two NaNs are 0 apart, a NaN and a number infinitely far.
    """
    assert got.dtype == np.float32
    assert truth.dtype == np.float64
    value, truth = (np.clip(a.astype(np.float64), -(2.0**128), 2.0**128) for a in (got, truth))
    exponent = np.frexp(truth)[1]
    # Floats have 24 bits, and none is finer than the smallest subnormal, 2^-149; frexp(0) gives no exponent of use.
    unit = np.ldexp(1.0, np.where(truth == 0, -149, np.clip(exponent - 24, -149, 104)))
    error = np.abs(value - truth) / unit
    return np.where(np.isnan(value) | np.isnan(truth), np.where(np.isnan(value) == np.isnan(truth), 0, np.inf), error)


def close(got: Any, truth: Any, relative: float, absolute: float = 0.0) -> None:
    """Assert |got - truth| <= relative * |truth| + absolute, with NaN equal to NaN and the shapes the same."""
    np.testing.assert_allclose(got, truth, rtol=relative, atol=absolute, equal_nan=True, strict=False)
